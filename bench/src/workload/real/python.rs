//! Python: its start, and the import of modules from its library, which lies on the subject.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Fallible;
use crate::workload::real::program::{command, run};

/// What it needs.
pub(crate) const NEEDS: &[&str] = &["python3", "cp"];

/// Modules of the library, many of which import others.
const IMPORTS: &str = "import argparse, asyncio, concurrent.futures, csv, dataclasses, decimal, \
    difflib, email.message, http.client, http.server, inspect, json, logging.config, \
    multiprocessing.pool, pathlib, pdb, pickle, sqlite3, ssl, statistics, tarfile, tempfile, \
    unittest, urllib.request, uuid, xml.dom.minidom, xmlrpc.client, zipfile, sys; \
    print(len(sys.modules), json.__file__)";

/// Directories of the library that nobody imports from here.
const LEFT_OUT: &[&str] = &[
    "site-packages",
    "dist-packages",
    "test",
    "idlelib",
    "lib2to3",
];

/// The library of the Python that is installed, compiled.
pub(crate) fn set_up(lower: &Path) -> Fallible<()> {
    let asked = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let (_, library) = run(command("python3").args(["-I", "-c", asked]))?;
    let library = Path::new(&library);
    let name = library.file_name().ok_or("Python's library has no name")?;
    let to = home(lower).join("lib").join(name);
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(library)? {
        let entry = entry?;
        let name = entry.file_name();
        let left_out = name
            .to_str()
            .is_some_and(|name| LEFT_OUT.contains(&name) || name.starts_with("config-"));
        if !left_out {
            run(command("cp")
                .arg("-aL")
                .arg(entry.path())
                .arg(to.join(&name)))?;
        }
    }
    // Compiled once, so that no run writes what the next one finds.
    let _ = run(python(lower).args(["-m", "compileall", "-q"]).arg(&to));
    Ok(())
}

/// Start and imports; the modules must come from the subject.
pub(crate) fn import(root: &Path) -> Fallible<Duration> {
    let (time, output) = run(python(root).args(["-B", "-S", "-c", IMPORTS]))?;
    match output.contains(&*home(root).to_string_lossy()) {
        true => Ok(time),
        false => Err(format!("Python imports from elsewhere: {output}").into()),
    }
}

fn home(root: &Path) -> PathBuf {
    root.join("python")
}

fn python(root: &Path) -> std::process::Command {
    let mut python = command("python3");
    python
        .env("PYTHONHOME", home(root))
        .env("PYTHONNOUSERSITE", "1");
    python
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::real::program::missing;

    #[test]
    fn modules_come_from_the_root() {
        if let Some(reason) = missing(NEEDS) {
            return crate::workload::real::skipped(&reason);
        }
        let dir = tempfile::tempdir().unwrap();
        set_up(dir.path()).unwrap();
        import(dir.path()).unwrap();
        fs::rename(home(dir.path()), dir.path().join("elsewhere")).unwrap();
        assert!(import(dir.path()).is_err());
    }
}
