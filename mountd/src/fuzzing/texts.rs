//! Records, mount specs, trails: what is read in one piece.

use std::sync::Arc;

use crate::filter::HiddenLower;
use crate::lower::memory::MemoryLower;
use crate::lower::{LowerLayer, LowerNode};
use crate::spec::MountSpec;
use crate::trail::Trail;
use crate::types::{FileKind, Ino, Timestamp};
use crate::upper::record::Record;

/// What is read as a record is written as it was.
pub(super) fn record(data: &[u8]) {
    if let Ok(record) = Record::decode(data) {
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
}

pub(super) fn records() -> Vec<Vec<u8>> {
    let record = Record {
        kind: FileKind::Regular,
        permissions: 0o4755,
        uid: 1,
        gid: 2,
        rdev: 0,
        ino: Ino(99),
        nlink: 2,
        opaque: false,
        linked: true,
        partial: true,
        unnamed: false,
        pristine: false,
        birth: Timestamp::default(),
    };
    vec![record.encode().to_vec()]
}

/// A spec that can be read hides names of a tree without a panic, and none that it does not name.
pub(super) fn spec(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<MountSpec>(data) else {
        return;
    };
    let written = serde_json::to_vec(&spec).unwrap();
    let again: MountSpec = serde_json::from_slice(&written).unwrap();
    assert_eq!(again, spec);
    let lower = MemoryLower::builder()
        .file("etc/passwd", b"root")
        .file("home/anna/letter", b"")
        .symlink("link", "etc")
        .build()
        .unwrap();
    let Ok(hidden) = HiddenLower::new(Arc::new(lower), &spec.hidden) else {
        return;
    };
    let mut left = 0;
    hidden.entries(LowerNode::ROOT, &mut |_| left += 1).unwrap();
    let of_root = spec.hidden.iter().filter(|rule| !rule.path.contains('/'));
    assert!(left + of_root.count() >= 3, "more is hidden than was named");
}

pub(super) fn specs() -> Vec<Vec<u8>> {
    [
        r#"{"lower":{"kind":"directory","path":"/"},"store":"/s","hidden":[{"path":"etc/passwd","extent":"name","reason":"r"},{"path":"home","extent":"contents","reason":""}]}"#,
        r#"{"lower":{"kind":"image","path":"/a.tar","index":"/i"},"store":null}"#,
    ]
    .map(Vec::from)
    .to_vec()
}

/// What is read as a trail is written as it was.
pub(super) fn trail(data: &[u8]) {
    if let Some(trail) = Trail::decode(data) {
        assert_eq!(Trail::decode(&trail.encode()), Some(trail));
    }
}

pub(super) fn trails() -> Vec<Vec<u8>> {
    let text = r#"{"version":1,"touched":[{"path":"a/b","ranges":[[0,4096],[8192,1]]}]}"#;
    vec![text.into()]
}
