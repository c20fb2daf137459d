//! Starting programs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::suite::target::Target;
use crate::suite::turn::each;

/// The program that does nothing.
const TRUE: &str = "/bin/true";

/// A program that does nothing, again and again.
pub(crate) struct Exec {
    times: u64,
}

impl Exec {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            times: scale.of(300, 20),
        }
    }
}

impl Workload for Exec {
    fn name(&self) -> &'static str {
        "exec"
    }

    fn group(&self) -> &'static str {
        "metadata"
    }

    fn about(&self) -> String {
        format!(
            "true, of the tree, is started (posix_spawn) and waited for, {} times; its libraries are \
             the host's",
            self.times
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            ..Needs::default()
        }
    }

    fn missing(&self) -> Option<String> {
        (!Path::new(TRUE).is_file()).then(|| format!("there is no {TRUE}"))
    }

    fn measures(&self) -> Vec<Measure> {
        vec![Measure::new("each", Unit::Microseconds).target(Target::at_most(1.0, "overlayfs"))]
    }

    fn tree(&self) -> String {
        "true".to_owned()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        fs::copy(TRUE, tree.join("true"))?;
        Ok(())
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        let ((), time) = turn.time(|root| {
            let program = root.join("true");
            for _ in 0..self.times {
                let status = Command::new(&program).stdin(Stdio::null()).status()?;
                if !status.success() {
                    return Err(format!("{}: {status}", program.display()).into());
                }
            }
            Ok(())
        })?;
        turn.note("each", each(time, self.times));
        Ok(())
    }
}
