//! The rule as a whole, on small systems of each family.

use std::sync::Arc;

use wpar_mountd::lower::memory::Builder;
use wpar_mountd::overlay::Overlay;
use wpar_mountd::spec::HiddenExtent;

use super::*;
use crate::model::{CopyControls, Hostname, Put};

mod debian;
mod families;
mod hostile;

/// What the rules decide about the system, with these lines of the site.
fn decided(builder: Builder, site: &str) -> Decisions {
    let files = Overlay::new(Arc::new(builder.build().unwrap()), None);
    decide(&Situation {
        resolver: None,
        files: &files,
        of_running_system: false,
        controls: CopyControls::default(),
        hostname: &Hostname::new("wpar1").unwrap(),
        private_lists: &[ListFile {
            path: "/etc/wpars/private.d/site.list".to_owned(),
            contents: site.as_bytes().to_vec(),
        }],
    })
    .unwrap()
}

fn hidden(decisions: &Decisions) -> Vec<String> {
    let rules = decisions.view.hidden.iter();
    rules
        .map(|rule| match rule.extent {
            HiddenExtent::Name => rule.path.clone(),
            HiddenExtent::Contents => format!("{}/*", rule.path),
        })
        .collect()
}

/// The file that is written to `path`.
fn written(decisions: &Decisions, path: &str) -> String {
    let mut edits = decisions.edits.iter();
    let edit = edits
        .find(|edit| edit.path == path)
        .unwrap_or_else(|| panic!("{path} is not written: {:?}", decisions.edits));
    match &edit.what {
        Put::File { contents, .. } => String::from_utf8(contents.clone()).unwrap(),
        Put::Link(target) => format!("-> {target}"),
    }
}

fn fates(decisions: &Decisions) -> Vec<String> {
    let filesets = decisions.view.filesets.iter();
    filesets
        .map(|fileset| format!("{} {:?}", fileset.name, fileset.fate))
        .collect()
}

/// A stanza of dpkg's data base.
fn stanza(name: &str, further: &str) -> String {
    format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n{further}\n"
    )
}

fn list(paths: &[&str]) -> String {
    format!("/.\n{}\n", paths.join("\n"))
}
