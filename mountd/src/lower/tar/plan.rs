//! What an image is made of, found out while it is scanned, and all of it taken in.
//!
//! Every archive is scanned as what it seems to be, a system. Only then is looked whether it is the
//! wrapping of others: a container image, whose layers are scanned into a tree of their own; an
//! image of LXD or Incus, of which `rootfs` is the system. So a plain archive costs no second look.

use std::collections::HashMap;
use std::fs::File;

use super::container::{
    ArchiveBlobs, BlobPlace, ContainerImage, DirectoryBlobs, Layer, NamedFile, container_image,
    is_container,
};
use super::entries::Scan;
use super::error::ScanError;
use super::explain::Failure;
use super::format::{ArchiveKind, Codec, FilePlace, FileRecord, Fingerprint};
use super::image::{Contents, Image};
use super::part_reader::PartReader;
use super::pass::{Archive, Pass};
use super::recognise::{Found, LOOK, recognise_bytes};
use super::source::{Section, StoredBytes, Stretch};
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
        Contents::Layout => layout(image, main, pass)?,
        Contents::Chain(names) => chain(image, main, names, pass)?,
    };
    outcome.scan.settle();
    Ok(outcome)
}

/// The main file with its fingerprint.
fn main_file(image: &Image, main: &Main) -> Result<NamedFile, ScanError> {
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
    let mut scan = Scan::new(main.fingerprint.mtime);
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
        if let Some(container) = container_in(image, &scan, &outer)? {
            return layers(container, main, Some(&outer), pass);
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

/// The container image in an archive that was scanned, if it has one.
fn container_in(
    image: &Image,
    scan: &Scan,
    outer: &Outer,
) -> Result<Option<ContainerImage>, ScanError> {
    let mut blobs = ArchiveBlobs {
        tree: &scan.tree,
        bytes: outer,
    };
    if !is_container(&mut blobs)? {
        return Ok(None);
    }
    container_image(&mut blobs, image.wanted()).map(Some)
}

fn layout(image: &Image, main: &Main, pass: &mut Pass<'_, '_>) -> Result<Outcome, Failure> {
    let mut blobs = DirectoryBlobs {
        image,
        files: vec![main_file(image, main)?],
    };
    let mut container = container_image(&mut blobs, image.wanted())?;
    // Only those that layers are in are the index's; manifests are known by their digests.
    let mut numbers = HashMap::new();
    let mut used: Vec<u32> = vec![0];
    for layer in &mut container.layers {
        if let BlobPlace::File(number) = &mut layer.blob.place {
            *number = *numbers.entry(*number).or_insert_with(|| {
                used.push(*number);
                used.len() as u32 - 1
            });
        }
    }
    let mut files: Vec<_> = blobs.files.into_iter().map(Some).collect();
    for number in used {
        let named = files.get_mut(number as usize).and_then(Option::take);
        named.map(|named| pass.add_file(named));
    }
    layers(container, main, None, pass)
}

/// All layers, over one another; `outer` is what wraps them, if they are in an archive.
fn layers(
    container: ContainerImage,
    main: &Main,
    outer: Option<&Outer>,
    pass: &mut Pass<'_, '_>,
) -> Result<Outcome, Failure> {
    let all = container.layers.iter();
    pass.meter.restart(all.map(|layer| layer.blob.bytes).sum());
    let mut scan = Scan::new(main.fingerprint.mtime);
    for warning in container.warnings {
        scan.warnings.extend(Some(warning));
    }
    for layer in container.layers.iter().filter(|layer| layer.blob.bytes > 0) {
        let mut codec = Codec::Plain;
        take(layer, outer, pass, &mut scan, &mut codec).map_err(|failure| Failure {
            layer: Some((layer.name.clone(), codec)),
            ..failure
        })?;
    }
    Ok(Outcome {
        kind: ArchiveKind::Layers,
        scan,
        notes: container.notes,
    })
}

fn take(
    layer: &Layer,
    outer: Option<&Outer>,
    pass: &mut Pass<'_, '_>,
    scan: &mut Scan,
    codec: &mut Codec,
) -> Result<(), Failure> {
    let digest = layer.digest.as_ref();
    let bytes = layer.blob.bytes;
    let (file, offset) = match (layer.blob.place, outer) {
        (BlobPlace::File(number), _) => (number, 0),
        (BlobPlace::Archive(start), Some(outer)) => {
            let section = Section {
                bytes: outer,
                start,
                length: bytes,
            };
            *codec = codec_of(&section)?;
            match outer {
                Outer::Plain(_, before, _) if *codec != Codec::Plain => (0, before + start),
                _ => return pass.nested(&section, start, *codec, digest, scan),
            }
        }
        (BlobPlace::Archive(_), None) => return Ok(()),
    };
    let blob = pass.file(file)?;
    *codec = codec_of(&Stretch::new(&blob, offset, bytes))?;
    let archive = Archive {
        place: StoredPlace {
            file,
            codec: *codec,
            offset,
            bytes,
        },
        is_layer: true,
        digest,
    };
    pass.archive(archive, scan)
}

/// The compression of an archive within an image.
fn codec_of(bytes: &dyn StoredBytes) -> Result<Codec, ScanError> {
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

/// Archives of which each has what changed since those before it.
fn chain(
    image: &Image,
    main: &Main,
    names: &[String],
    pass: &mut Pass<'_, '_>,
) -> Result<Outcome, Failure> {
    let mut scan = Scan::new(main.fingerprint.mtime);
    let main_number = pass.add_file(main_file(image, main)?);
    let mut archives = Vec::new();
    let earlier = &names[..names.len().saturating_sub(1)];
    for name in earlier {
        let file = image.beside(name.as_bytes()).map_err(ScanError::Read)?;
        let fingerprint = Fingerprint::of(&file).map_err(ScanError::Read)?;
        let record = FileRecord {
            place: FilePlace::Beside,
            fingerprint,
            ..Default::default()
        };
        let path = name.as_bytes().to_vec();
        let number = pass.add_file(NamedFile { file, record, path });
        archives.push((name, number, fingerprint.size));
    }
    archives.extend(
        names
            .last()
            .map(|name| (name, main_number, main.fingerprint.size)),
    );
    pass.meter
        .restart(archives.iter().map(|(_, _, size)| size).sum());
    for (name, file, bytes) in archives {
        let stored = pass.file(file)?;
        let place = StoredPlace {
            file,
            codec: codec_of(&Stretch::new(&stored, 0, bytes))?,
            offset: 0,
            bytes,
        };
        let archive = Archive {
            place,
            ..Default::default()
        };
        pass.archive(archive, &mut scan)
            .map_err(|failure| Failure {
                layer: Some((name.clone(), place.codec)),
                ..failure
            })?;
    }
    if !earlier.is_empty() {
        scan.warnings.extend(Some(format!(
            "{} backups lie over one another: what was removed between them is still there, since \
             they do not say so",
            names.len()
        )));
    }
    Ok(Outcome {
        kind: match earlier {
            [] => ArchiveKind::Tar,
            _ => ArchiveKind::Layers,
        },
        scan,
        notes: vec![format!("backup of ReaR: {}", names.join(", "))],
    })
}

/// An archive that wraps others, to be read anywhere.
pub(super) enum Outer {
    /// A file, where in it the archive begins, and its length.
    Plain(File, u64, u64),
    Packed(PartReader),
}

impl Outer {
    /// The first part of the stream.
    fn of(pass: &mut Pass<'_, '_>) -> Result<Self, ScanError> {
        let part = pass.stored.parts.first().copied().unwrap_or_default();
        if part.codec != Codec::Plain
            && let Some(reader) = pass.first_part()?
        {
            return Ok(Self::Packed(reader));
        }
        let file = pass.file(part.file)?;
        Ok(Self::Plain(file, part.stored_offset, part.stored_bytes))
    }
}

impl StoredBytes for Outer {
    fn read(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        match self {
            Self::Plain(file, start, length) => {
                Stretch::new(file, *start, *length).read(buffer, offset)
            }
            Self::Packed(reader) => reader.read(buffer, offset),
        }
    }

    fn length(&self) -> u64 {
        match self {
            Self::Plain(_, _, length) => *length,
            Self::Packed(reader) => reader.length(),
        }
    }
}
