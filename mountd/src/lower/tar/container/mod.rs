//! Container images: which tar archives, in which order, make up the file system.
//!
//! Two descriptions are read: the `manifest.json` of `docker save` (moby, `image/spec`), and the
//! OCI image layout (image-spec: `image-layout.md`, `image-index.md`, `manifest.md`), both in a
//! directory or in an archive. What they say is believed only as far as it names files of the same
//! image; each of their texts has at most 4 MiB, and digests hold or the image is refused.

mod blobs;
mod digest;
mod docker;
mod oci;
mod platform;

use std::collections::HashSet;

use serde::de::DeserializeOwned;

pub(super) use blobs::{ArchiveBlobs, Blob, BlobPlace, Blobs, DirectoryBlobs, NamedFile};
pub(super) use digest::{Digest, Digesting};

use super::error::ScanError;

/// Longest manifest, index or configuration.
const TEXT_LIMIT: u64 = 4 << 20;
/// Most layers. (Docker builds at most 127.)
const MOST_LAYERS: usize = 500;

/// The file system of a container image.
#[derive(Debug, Default)]
pub(super) struct ContainerImage {
    /// Lowest first.
    pub(super) layers: Vec<Layer>,
    /// What it is.
    pub(super) notes: Vec<String>,
    /// What is odd about it.
    pub(super) warnings: Vec<String>,
}

/// A tar archive that is laid over those before it.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) blob: Blob,
    /// What its stored bytes must come to, if that is known.
    pub(super) digest: Option<Digest>,
    /// For messages.
    pub(super) name: String,
}

/// Whether an archive or a directory has the files of a container image.
pub(super) fn is_container(blobs: &mut dyn Blobs) -> Result<bool, ScanError> {
    Ok(blobs.find("manifest.json")?.is_some() && is_docker(blobs)?
        || blobs.find("oci-layout")?.is_some() && blobs.find("index.json")?.is_some())
}

/// A file of this name may be anything: only what it says counts.
fn is_docker(blobs: &mut dyn Blobs) -> Result<bool, ScanError> {
    let Some(blob) = blobs.find("manifest.json")? else {
        return Ok(false);
    };
    Ok(blob.bytes <= TEXT_LIMIT && docker::is_manifest(&blobs.read(&blob)?))
}

/// The image called `wanted`, or the only one there is.
///
/// # Errors
/// [`ScanError::Unusable`] if there are several and none is named, or if what they are made of is
/// not there or not what its digest says; those of reading.
pub(super) fn container_image(
    blobs: &mut dyn Blobs,
    wanted: Option<&str>,
) -> Result<ContainerImage, ScanError> {
    // Docker writes both since version 25; its own says what is really there.
    let image = if is_docker(blobs)? {
        docker::image(blobs, wanted)?
    } else {
        oci::image(blobs, wanted)?
    };
    refuse_repetition(&image.layers)?;
    match image.layers.len() {
        0 => Err(unusable(
            "the container image has no layers",
            "name another image",
        )),
        1..=MOST_LAYERS => Ok(image),
        count => Err(unusable(
            format!("the container image has {count} layers"),
            "squash it with \"umoci\" or \"buildah commit --squash\"",
        )),
    }
}

/// A layer that is named again and again would make much of little. Only small ones, which do
/// next to nothing, come more than once.
fn refuse_repetition(layers: &[Layer]) -> Result<(), ScanError> {
    const SMALL: u64 = 64 << 10;
    let mut known = HashSet::new();
    let repeated = |layer: &&Layer| layer.blob.bytes > SMALL && !known.insert(layer.blob.place);
    match layers.iter().find(repeated) {
        None => Ok(()),
        Some(layer) => Err(unusable(
            format!("it names the layer {:?} more than once", layer.name),
            "squash it with \"buildah commit --squash\"",
        )),
    }
}

/// An image with something wrong about it.
fn unusable(what: impl Into<String>, remedy: impl Into<String>) -> ScanError {
    ScanError::Unusable {
        what: what.into(),
        remedy: remedy.into(),
    }
}

/// Reads a small JSON file of the image, which must be there.
fn read_text(blobs: &mut dyn Blobs, path: &str) -> Result<Vec<u8>, ScanError> {
    let Some(blob) = blobs.find(path)? else {
        return Err(missing(path));
    };
    if blob.bytes > TEXT_LIMIT {
        return Err(unusable(
            format!("{path:?} has {} bytes, more than any manifest", blob.bytes),
            "fetch or make the image again",
        ));
    }
    blobs.read(&blob)
}

fn missing(path: &str) -> ScanError {
    unusable(
        format!("it has no file {path:?}, which its manifest names"),
        "fetch the image again, with all of its layers",
    )
}

fn parse<T: DeserializeOwned>(path: &str, text: &[u8]) -> Result<T, ScanError> {
    serde_json::from_slice(text).map_err(|error| {
        unusable(
            format!("its {path:?} makes no sense ({error})"),
            "fetch or make the image again",
        )
    })
}

/// Whether one of an image's names is meant by what a user wrote: all of it, or its end behind a
/// slash or a colon.
fn is_meant(name: &str, wanted: &str) -> bool {
    name.strip_suffix(wanted)
        .is_some_and(|before| before.is_empty() || before.ends_with(['/', ':']))
}

/// The refusal to choose one of several images.
fn choose(names: &[String], wanted: Option<&str>) -> ScanError {
    const MOST: usize = 20;
    let mut listed: Vec<&str> = names.iter().take(MOST).map(String::as_str).collect();
    if names.len() > MOST {
        listed.push("...");
    }
    let example = names.first().map_or("NAME", String::as_str);
    let what = match wanted {
        None => format!("it holds several container images: {}", listed.join(", ")),
        Some(wanted) => format!(
            "no single one of its container images is called {wanted:?}: it has {}",
            listed.join(", ")
        ),
    };
    unusable(what, format!("name one of them, as \"IMAGE#{example}\""))
}

/// "3 layers".
fn count_of(layers: usize) -> String {
    match layers {
        1 => "1 layer".to_owned(),
        _ => format!("{layers} layers"),
    }
}

#[cfg(test)]
mod tests;
