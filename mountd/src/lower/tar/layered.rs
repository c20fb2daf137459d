//! Archives that lie over one another: the layers of a container image, and backups of what changed.

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
use super::image::Image;
use super::part_reader::PartReader;
use super::pass::{Archive, Pass};
use super::plan::{Main, Outcome, codec_of, main_file};
use super::source::{Section, StoredBytes, Stretch};
use super::stored::StoredPlace;

/// The container image in an archive that was scanned, if it has one.
pub(super) fn container_in(
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

/// Scans an OCI image layout that is a directory.
pub(super) fn layout(
    image: &Image,
    main: &Main,
    pass: &mut Pass<'_, '_>,
) -> Result<Outcome, Failure> {
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
pub(super) fn layers(
    container: ContainerImage,
    main: &Main,
    outer: Option<&Outer>,
    pass: &mut Pass<'_, '_>,
) -> Result<Outcome, Failure> {
    let all = container.layers.iter();
    pass.meter.restart(all.map(|layer| layer.blob.bytes).sum());
    let mut scan = Scan::new(main.fingerprint.mtime, pass.index());
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

/// Scans archives of which each has what changed since those before it.
pub(super) fn chain(
    image: &Image,
    main: &Main,
    names: &[String],
    pass: &mut Pass<'_, '_>,
) -> Result<Outcome, Failure> {
    let archives = archives_of(image, main, names, pass)?;
    let sizes = archives.iter().map(|(_, _, bytes)| bytes);
    pass.meter.restart(sizes.sum());
    let mut scan = Scan::new(main.fingerprint.mtime, pass.index());
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
                layer: Some((name.to_owned(), place.codec)),
                ..failure
            })?;
    }
    let mut kind = ArchiveKind::Tar;
    if names.len() > 1 {
        kind = ArchiveKind::Layers;
        scan.warnings.extend(Some(format!(
            "{} backups lie over one another: what was removed between them is still there, since \
             they do not say so",
            names.len()
        )));
    }
    Ok(Outcome {
        kind,
        scan,
        notes: vec![format!("backup of ReaR: {}", names.join(", "))],
    })
}

/// Opens the archives of a chain; answers name, number and size of each. The main file is the last
/// one of the chain, and the first one of the index.
fn archives_of<'n>(
    image: &Image,
    main: &Main,
    names: &'n [String],
    pass: &mut Pass<'_, '_>,
) -> Result<Vec<(&'n str, u32, u64)>, ScanError> {
    let main_number = pass.add_file(main_file(image, main)?);
    let mut archives = Vec::new();
    let Some((last, earlier)) = names.split_last() else {
        return Ok(archives);
    };
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
        archives.push((name.as_str(), number, fingerprint.size));
    }
    archives.push((last, main_number, main.fingerprint.size));
    Ok(archives)
}

/// An archive that wraps others, to be read anywhere.
pub(super) enum Outer {
    /// A file, where in it the archive begins, and its length.
    Plain(File, u64, u64),
    Packed(PartReader),
}

impl Outer {
    /// The first part of the stream.
    pub(super) fn of(pass: &mut Pass<'_, '_>) -> Result<Self, ScanError> {
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
