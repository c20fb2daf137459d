//! rpm: its data bases are written by rpm alone. The records go at the first start, when the WPAR's own
//! rpm is there to do it; files are hidden at once. Until then `rpm -V` misses them.

use wpar_mountd::error::FsError;

use super::Record;
use crate::model::Put;
use crate::model::view::FilesetFate;

/// Where programs are that are run once, at the first start.
const CONVERSION: &str = "usr/lib/wpars/wparconvert.d/root/00wpar-private-filesets";

pub(super) fn make(record: &mut Record<'_, '_>) -> Result<(), FsError> {
    let packages: Vec<_> = record
        .of(FilesetFate::Hidden)
        .into_iter()
        .filter_map(|index| record.database.packages.get(index))
        .map(|package| {
            // Old ones do not understand an epoch there.
            let version = package.version.split_once(':');
            let version = version.map_or(&*package.version, |(_, version)| version);
            match &*package.architecture {
                "" => format!("{}-{version}", package.name),
                architecture => format!("{}-{version}.{architecture}", package.name),
            }
        })
        // What is not a plain word has no place in a script: an image could say anything.
        .filter(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-._~^".contains(&byte))
        })
        .filter(|name| !name.starts_with('-'))
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    let program = Put::File {
        contents: script(&packages).into_bytes(),
        permissions: 0o755,
    };
    let reason = "takes hidden filesets off rpm's record at the first start";
    record.put(CONVERSION.as_bytes(), program, reason)?;
    record.notes.push(format!(
        "rpm still has {} hidden filesets on record; the first start takes them off it",
        packages.len()
    ));
    Ok(())
}

fn script(packages: &[String]) -> String {
    format!(
        "#!/bin/sh\n\
         # Written by wpar when this workload partition was made: files of these packages are not\n\
         # visible in it, so rpm must not know them. Each alone: one that is gone keeps no other.\n\
         command -v rpm >/dev/null || exit 0\n\
         for package in \\\n    {}\ndo\n    \
         rpm -q --quiet \"$package\" || continue\n    \
         rpm -e --justdb --nodeps --noscripts --notriggers \"$package\" || status=1\n\
         done\nexit ${{status:-0}}\n",
        packages.join(" \\\n    ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_each_package() {
        let text = script(&["kernel-core-6.1-1.x86_64".to_owned(), "lvm2-2-1".to_owned()]);
        assert!(
            text.contains("\n    kernel-core-6.1-1.x86_64 \\\n    lvm2-2-1\ndo\n"),
            "{text}"
        );
    }
}
