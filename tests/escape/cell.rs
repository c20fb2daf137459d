//! A WPAR with the probes in it, and the weakened profile beside it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::fixtures::{fixture, unpack};
use crate::common::run::{Output, Run};
use crate::common::world::World;

/// Name of the WPAR.
pub(crate) const NAME: &str = "cell";

/// What a probe says by its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It got out.
    Escaped,
    /// It did not.
    Held,
    /// This kernel does not have what it needs.
    NothingThere,
}

/// An outcome, and what the probe said.
pub(crate) type Told = (Outcome, String);

/// See the module.
pub(crate) struct Cell {
    pub(crate) world: World,
    probe: PathBuf,
}

impl Cell {
    /// A running WPAR of a busybox image with the program `/probe` and the device node `/node`.
    ///
    /// # Errors
    /// Why there is none, for a skip.
    pub(crate) fn new() -> Result<Self, String> {
        let cell = Self::without_wpar()?;
        let tree = cell.tree("tree")?;
        cell.world.mkwpar(&tree, NAME);
        cell.world.ok(&format!("startwpar {NAME}"));
        Ok(cell)
    }

    /// The probes alone.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn without_wpar() -> Result<Self, String> {
        let world = World::new()?;
        let probe = world.scratch().join("probe");
        compile(&probe, &["-static", "-O1"], &sources("probes"))?;
        fs::create_dir(world.scratch().join("weak")).expect("a directory");
        Ok(Self { world, probe })
    }

    /// A system in a directory `name`, to make a WPAR of.
    ///
    /// # Errors
    /// Why the image that it is made of cannot be had.
    pub(crate) fn tree(&self, name: &str) -> Result<PathBuf, String> {
        let image = fixture("busybox")?;
        let tree = self.world.scratch().join(name);
        fs::create_dir(&tree).expect("a directory");
        unpack(&image, &tree);
        for directory in ["usr", "mnt"] {
            fs::create_dir_all(tree.join(directory)).expect("a directory");
        }
        self.put(&self.probe, &tree.join("probe"));
        Run::new("mknod", ["-m", "666"])
            .arg(tree.join("node"))
            .args(["c", "1", "3"])
            .ok();
        Ok(tree)
    }

    /// Copies a program.
    pub(crate) fn put(&self, program: &Path, place: &Path) {
        Run::new("cp", ["--"]).arg(program).arg(place).ok();
    }

    /// The program of the probes, for the host.
    pub(crate) fn probe(&self) -> &Path {
        &self.probe
    }

    /// A probe in the WPAR.
    pub(crate) fn inside(&self, words: &[&str]) -> Told {
        told(&self.inside_run(words).output())
    }

    /// The same, not yet run.
    pub(crate) fn inside_run(&self, words: &[&str]) -> Run {
        self.world.wpar(["clogin", NAME, "/probe"]).args(words)
    }

    /// A probe in the weakened profile.
    pub(crate) fn weakened(&self, words: &[&str]) -> Told {
        told(&self.weakened_run(words).output())
    }

    /// The same, not yet run.
    pub(crate) fn weakened_run(&self, words: &[&str]) -> Run {
        Run::new(&self.probe, ["--weakened"])
            .arg(self.world.scratch().join("weak"))
            .args(words)
    }

    /// Ends the WPAR and looks that nothing is left.
    pub(crate) fn end(self) {
        self.world.ok(&format!("stopwpar -F {NAME}"));
        self.world.ok(&format!("rmwpar {NAME}"));
        self.world.assert_empty();
    }
}

/// What a probe that ran has to say.
#[track_caller]
pub(crate) fn told(output: &Output) -> Told {
    let outcome = match output.code() {
        0 => Outcome::Escaped,
        1 => Outcome::Held,
        2 => Outcome::NothingThere,
        _ => panic!("the probe itself failed\n{output}"),
    };
    (outcome, output.to_string())
}

/// Compiles programs in C.
///
/// # Errors
/// Why not, for a skip.
pub(crate) fn compile(program: &Path, flags: &[&str], sources: &[PathBuf]) -> Result<(), String> {
    let output = Run::new("sh", ["-c", "exec cc \"$@\"", "cc"])
        .args(flags)
        .arg("-o")
        .arg(program)
        .args(sources)
        .output();
    match output.code() {
        0 => Ok(()),
        _ => Err(format!(
            "needs a C compiler that links statically: {}",
            output.complaint()
        )),
    }
}

/// The sources below a directory of this suite.
pub(crate) fn sources(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/escape")
        .join(directory);
    let entries = fs::read_dir(&directory).expect("the sources of the probes");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect()
}
