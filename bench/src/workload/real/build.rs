//! `make -j2` of C programs: one of 100 files that the benchmark writes, and Lua, if its source
//! can be had from Debian.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::Fallible;
use crate::workload::Scale;
use crate::workload::real::program::{command, run};

/// What it needs.
pub(crate) const NEEDS: &[&str] = &["make", "cc", "ar"];
/// What Lua needs besides.
pub(crate) const LUA_NEEDS: &[&str] = &["make", "cc", "ar", "gcc", "ranlib", "tar", "gzip", "curl"];

/// Lua's source as Debian has it, under its name and its SHA-256 in the archive.
const LUA: (&str, &str) = (
    "http://deb.debian.org/debian/pool/main/l/lua5.4/lua5.4_5.4.4.orig.tar.gz",
    "164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61",
);

/// A project of `files` C files with 20 headers.
pub(crate) fn set_up(lower: &Path, files: usize) -> Fallible<()> {
    let project = lower.join("project");
    fs::create_dir_all(project.join("include"))?;
    fs::create_dir_all(project.join("src"))?;
    for header in 0..20 {
        let mut text = String::from("#pragma once\n#include <stdio.h>\n#include <string.h>\n");
        for line in 0..50 {
            let _ = writeln!(
                text,
                "static inline int h{header}_{line}(int x) {{ return x * {line}; }}"
            );
        }
        fs::write(project.join(format!("include/h{header}.h")), text)?;
    }
    let mut main = String::new();
    for file in 0..files {
        let mut text: String = (0..5).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "#include \"h{}.h\"", (file + 3 * n) % 20);
            text
        });
        let _ = writeln!(
            text,
            "int f{file}(int x)\n{{\n\treturn h{}_7(x) + (int)strlen(\"{file}\");\n}}",
            file % 20
        );
        fs::write(project.join(format!("src/f{file:03}.c")), text)?;
        let _ = writeln!(main, "int f{file}(int);");
    }
    main.push_str("int main(void)\n{\n\tint x = 1;\n");
    for file in 0..files {
        let _ = writeln!(main, "\tx += f{file}(x) & 7;");
    }
    main.push_str("\treturn x > 0 ? 0 : 1;\n}\n");
    fs::write(project.join("src/main.c"), main)?;
    fs::write(project.join("Makefile"), MAKEFILE)?;
    Ok(())
}

const MAKEFILE: &str = "\
objects := $(patsubst %.c,%.o,$(filter-out src/main.c,$(wildcard src/*.c)))
program: src/main.o libunits.a
\tcc -o $@ $^
libunits.a: $(objects)
\trm -f $@
\tar rcs $@ $^
%.o: %.c
\tcc -O0 -Iinclude -MMD -c -o $@ $<
clean:
\trm -f program libunits.a src/*.o src/*.d
-include $(wildcard src/*.d)
";

/// `make -j2` of the project, none of which is built or no more; the program must run.
pub(crate) fn make(root: &Path) -> Fallible<Duration> {
    let project = root.join("project");
    let run_make =
        |arguments: &[&str]| run(command("make").arg("-C").arg(&project).args(arguments));
    if project.join("program").exists() {
        run_make(&["--silent", "clean"])?;
    }
    let (time, _) = run_make(&["--silent", "-j2", "program"])?;
    run(&mut std::process::Command::new(project.join("program")))?;
    Ok(time)
}

/// Why Lua's source cannot be had. A short run does without the network.
pub(crate) fn cannot_have_lua(scale: Scale) -> Option<String> {
    let had = match scale {
        Scale::Full => lua_archive().map(drop),
        Scale::Short => cached(LUA.0, LUA.1, &cache())
            .map(drop)
            .ok_or("not downloaded yet".into()),
    };
    had.err()
        .map(|error| format!("Lua's source cannot be had: {error}"))
}

/// Lua's source, unpacked.
pub(crate) fn set_up_lua(lower: &Path) -> Fallible<()> {
    let lua = lower.join("lua");
    fs::create_dir_all(&lua)?;
    let mut tar = command("tar");
    tar.args(["--strip-components=1", "--no-same-owner", "-xzf"]);
    run(tar.arg(lua_archive()?).arg("-C").arg(&lua))?;
    Ok(())
}

fn lua_archive() -> Fallible<PathBuf> {
    download(LUA.0, LUA.1, &cache())
}

/// Where downloads are kept.
fn cache() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    cache.join("wpar-bench")
}

/// `make -j2` of Lua, none of which is built or no more; the interpreter must run.
pub(crate) fn make_lua(root: &Path) -> Fallible<Duration> {
    let lua = root.join("lua/src");
    let run_make = |arguments: &[&str]| run(command("make").arg("-C").arg(&lua).args(arguments));
    if lua.join("lua").exists() {
        run_make(&["--silent", "clean"])?;
    }
    // Not optimised: it is the compiler's files that are measured, not the compiler.
    let (time, _) = run_make(&["--silent", "-j2", "MYCFLAGS=-O0", "generic"])?;
    let mut interpreter = std::process::Command::new(lua.join("lua"));
    let (_, output) = run(interpreter.args(["-e", "print(6 * 7)"]))?;
    match output.as_str() {
        "42" => Ok(time),
        other => Err(format!("the Lua that was built prints {other:?}").into()),
    }
}

/// A file from the network with a known checksum, kept in `cache`.
fn download(address: &str, sha256: &str, cache: &Path) -> Fallible<PathBuf> {
    if let Some(file) = cached(address, sha256, cache) {
        return Ok(file);
    }
    fs::create_dir_all(cache)?;
    let name = base(address);
    let file = cache.join(name);
    let partial = cache.join(format!("{name}.{}", std::process::id()));
    let mut curl = command("curl");
    curl.args([
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--max-time",
        "60",
        "--output",
    ]);
    let result = run(curl.arg(&partial).arg(address));
    let sum = result.and_then(|_| checksum(&partial));
    match sum {
        Ok(sum) if sum == sha256 => {
            fs::rename(&partial, &file)?;
            Ok(file)
        }
        wrong => {
            let _ = fs::remove_file(&partial);
            let sum = wrong?;
            Err(format!("{address}: has checksum {sum}, not {sha256}").into())
        }
    }
}

/// The file of that address, if `cache` has it.
fn cached(address: &str, sha256: &str, cache: &Path) -> Option<PathBuf> {
    let file = cache.join(base(address));
    checksum(&file)
        .is_ok_and(|sum| sum == sha256)
        .then_some(file)
}

fn base(address: &str) -> &str {
    address.rsplit('/').next().unwrap_or("download")
}

fn checksum(file: &Path) -> Fallible<String> {
    let digest = Sha256::digest(fs::read(file)?);
    Ok(digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::real::program::missing;

    #[test]
    fn the_project_is_built_twice() {
        if let Some(reason) = missing(NEEDS) {
            return crate::workload::real::skipped(&reason);
        }
        let dir = tempfile::tempdir().unwrap();
        set_up(dir.path(), 5).unwrap();
        make(dir.path()).unwrap();
        make(dir.path()).unwrap();
        fs::write(dir.path().join("project/src/f003.c"), "no C").unwrap();
        assert!(make(dir.path()).is_err());
    }

    #[test]
    fn what_has_another_checksum_is_not_taken() {
        if let Some(reason) = missing(&["curl"]) {
            return crate::workload::real::skipped(&reason);
        }
        let dir = tempfile::tempdir().unwrap();
        let (source, cache) = (dir.path().join("source"), dir.path().join("cache"));
        fs::write(&source, "abc").unwrap();
        let address = format!("file://{}", source.display());
        let error = download(&address, "00", &cache).unwrap_err().to_string();
        assert!(error.contains("ba7816bf"), "{error}");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
        let sum = checksum(&source).unwrap();
        let file = download(&address, &sum, &cache).unwrap();
        fs::remove_file(&source).unwrap();
        assert_eq!(download(&address, &sum, &cache).unwrap(), file);
    }
}
