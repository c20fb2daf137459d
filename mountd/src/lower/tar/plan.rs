//! What an image is made of, found out while it is scanned, and all of it taken in.
//!
//! Every archive is scanned as what it seems to be, a system. Only then is looked whether it is the
//! wrapping of others: a container image, whose layers are scanned into a tree of their own; an
//! image of LXD or Incus, of which `rootfs` is the system. So a plain archive costs no second look.

use super::container::NamedFile;
use super::entries::Scan;
use super::error::ScanError;
use super::explain::Failure;
use super::format::{ArchiveKind, Codec, FilePlace, FileRecord, Fingerprint};
use super::image::{Contents, Image};
use super::layered::{self, Outer};
use super::pass::{Archive, Pass};
use super::recognise::{Found, LOOK, recognise_bytes};
use super::source::StoredBytes;
use super::stored::StoredPlace;
use super::wrapping;

/// What the main file of an image is, by its first bytes.
#[derive(Debug, Default)]
pub(super) struct Main {
    pub(super) fingerprint: Fingerprint,
    pub(super) codec: Codec,
    pub(super) header: wrapping::Header,
}

/// What came of all archives of an image.
pub(super) struct Outcome {
    pub(super) kind: ArchiveKind,
    pub(super) scan: Scan,
    pub(super) notes: Vec<String>,
}

/// Scans the whole image.
pub(super) fn scan(
    image: &Image,
    main: &Main,
    pass: &mut Pass<'_, '_>,
) -> Result<Outcome, Failure> {
    let mut outcome = match image.contents() {
        Contents::File => file(image, main, pass)?,
        Contents::Layout => layered::layout(image, main, pass)?,
        Contents::Chain(names) => layered::chain(image, main, names, pass)?,
    };
    outcome.scan.settle();
    Ok(outcome)
}

/// The main file with its fingerprint.
pub(super) fn main_file(image: &Image, main: &Main) -> Result<NamedFile, ScanError> {
    let place = match image.contents() {
        Contents::File => FilePlace::Image,
        Contents::Layout | Contents::Chain(_) => FilePlace::Beside,
    };
    Ok(NamedFile {
        file: image.main().try_clone().map_err(ScanError::Read)?,
        record: FileRecord {
            place,
            fingerprint: main.fingerprint,
            ..Default::default()
        },
        path: image.main_path().as_bytes().to_vec(),
    })
}

fn file(image: &Image, main: &Main, pass: &mut Pass<'_, '_>) -> Result<Outcome, Failure> {
    let mut scan = Scan::new(main.fingerprint.mtime, pass.index());
    for warning in &main.header.warnings {
        scan.warnings.extend(Some(warning.clone()));
    }
    let archive = Archive {
        place: StoredPlace {
            file: pass.add_file(main_file(image, main)?),
            codec: main.codec,
            offset: main.header.bytes,
            bytes: main.fingerprint.size.saturating_sub(main.header.bytes),
        },
        ..Default::default()
    };
    pass.archive(archive, &mut scan)?;
    // A system of AIX is what it is, whatever names are in its root.
    let may_wrap = scan.kind == ArchiveKind::Tar;
    if may_wrap {
        let outer = Outer::of(pass)?;
        if let Some(container) = layered::container_in(image, &scan, &outer)? {
            return layered::layers(container, main, Some(&outer), pass);
        }
    }
    if image.wanted().is_some() {
        return Err(not_chosen().into());
    }
    wrapping::refuse_disk(&scan, pass.meter.entries())?;
    let mut notes = main.header.notes.clone();
    if may_wrap {
        notes.extend(wrapping::unwrap(&mut scan.tree));
    }
    Ok(Outcome {
        kind: scan.kind,
        scan,
        notes,
    })
}

fn not_chosen() -> ScanError {
    ScanError::Unusable {
        what: "it is one system, and nothing in it can be chosen by \"#\"".to_owned(),
        remedy: "name it without that".to_owned(),
    }
}

/// The compression of an archive within an image.
pub(super) fn codec_of(bytes: &dyn StoredBytes) -> Result<Codec, ScanError> {
    let mut head = vec![0; LOOK];
    let count = bytes.read(&mut head, 0).map_err(ScanError::Read)?;
    let (what, remedy) = match recognise_bytes(&head[..count]) {
        Found::Archive(codec) => return Ok(codec),
        Found::Compression { what, .. } => (what.to_owned(), "pack it with gzip or zstd"),
        Found::Other { what, .. } => (
            format!("it {what}, where a tar archive should be"),
            "fetch or make the image again",
        ),
    };
    Err(ScanError::Unusable {
        what,
        remedy: remedy.to_owned(),
    })
}
