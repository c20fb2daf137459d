//! The OCI image layout.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::docker::not_for_here;
use super::platform::Platform;
use super::{
    Blobs, ContainerImage, Digest, Layer, choose, count_of, is_meant, missing, parse, read_text,
    unusable,
};
use crate::lower::tar::error::ScanError;

const INDEX: &str = "index.json";
/// Where a name is written: by the specification, and by containerd.
const NAMES: [&str; 2] = [
    "io.containerd.image.name",
    "org.opencontainers.image.ref.name",
];
/// An index may name an index; nobody nests them deeper.
const DEPTH: u32 = 4;

/// A reference to a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    platform: Option<Platform>,
}

/// An index or a manifest: which, is told by what it has.
#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
}

impl Descriptor {
    fn names(&self) -> Vec<&str> {
        let annotations = self.annotations.iter();
        annotations
            .flat_map(|all| NAMES.iter().filter_map(|name| all.get(*name)))
            .map(String::as_str)
            .collect()
    }

    /// The name that a user would write.
    fn name(&self) -> String {
        match (self.names().first(), self.digest.split_once(':')) {
            (Some(name), _) => (*name).to_owned(),
            (None, Some((_, hex))) => hex.chars().take(12).collect(),
            (None, None) => self.digest.clone(),
        }
    }

    fn is_meant(&self, wanted: &str) -> bool {
        let mut names = self.names().into_iter();
        names.any(|name| is_meant(name, wanted)) || self.name() == wanted
    }

    /// Signatures and statements about how an image was built are no images.
    fn is_image(&self) -> bool {
        let unknown = |platform: &Platform| platform.os == "unknown";
        !self.platform.as_ref().is_some_and(unknown)
    }

    fn digest(&self) -> Result<Digest, ScanError> {
        Digest::parse(&self.digest).ok_or_else(|| {
            let digest: String = self.digest.chars().take(100).collect();
            unusable(
                format!("it names a file by {digest:?}, which is no sha256 or sha512 digest"),
                "make the image again with \"skopeo copy\"",
            )
        })
    }

    /// Reads the file, which must be what its digest says.
    fn text(&self, blobs: &mut dyn Blobs) -> Result<Vec<u8>, ScanError> {
        let digest = self.digest()?;
        let text = read_text(blobs, &digest.path())?;
        if digest.is_of(&text) {
            Ok(text)
        } else {
            Err(unusable(
                format!(
                    "the contents of {:?} are not what its name says",
                    digest.path()
                ),
                "fetch the image again",
            ))
        }
    }
}

/// The image called `wanted`, or the only one, for this machine.
pub(super) fn image(
    blobs: &mut dyn Blobs,
    wanted: Option<&str>,
) -> Result<ContainerImage, ScanError> {
    let text = read_text(blobs, INDEX)?;
    let index: Document = parse(INDEX, &text)?;
    let all = index.manifests.unwrap_or_default();
    let images: Vec<&Descriptor> = all.iter().filter(|found| found.is_image()).collect();
    let is_wanted = |found: &&&Descriptor| wanted.is_none_or(|wanted| found.is_meant(wanted));
    let mut chosen: Vec<&Descriptor> = images.iter().filter(is_wanted).copied().collect();
    chosen.dedup_by(|one, other| one.digest == other.digest);
    let chosen = match chosen[..] {
        [one] => one,
        // One image for several platforms, without an index of its own.
        [first, ..] if chosen.iter().all(|one| is_variant(one, first)) => {
            for_here(chosen.iter().copied())?
        }
        _ => {
            let names: Vec<String> = images.iter().map(|found| found.name()).collect();
            return Err(choose(&names, wanted));
        }
    };
    manifest(blobs, chosen, &chosen.name(), DEPTH)
}

fn is_variant(one: &Descriptor, other: &Descriptor) -> bool {
    one.platform.is_some() && one.names() == other.names()
}

/// The one of several that runs here, or the only one that there is.
fn for_here<'d>(images: impl Iterator<Item = &'d Descriptor>) -> Result<&'d Descriptor, ScanError> {
    let images: Vec<_> = images.filter(|found| found.is_image()).collect();
    if let [only] = images[..] {
        return Ok(only);
    }
    let runs = |found: &&&Descriptor| found.platform.as_ref().is_some_and(Platform::runs_here);
    if let Some(found) = images.iter().find(runs) {
        return Ok(*found);
    }
    let platforms: Vec<_> = images
        .iter()
        .filter_map(|found| found.platform.as_ref().map(Platform::name))
        .collect();
    Err(unusable(
        format!(
            "it is for other machines ({}), this one is {}",
            platforms.join(", "),
            Platform::here().name()
        ),
        "fetch it for this one, or copy the platform to look into with \
         \"skopeo copy --override-arch ARCH\"",
    ))
}

fn manifest(
    blobs: &mut dyn Blobs,
    descriptor: &Descriptor,
    name: &str,
    depth: u32,
) -> Result<ContainerImage, ScanError> {
    let text = descriptor.text(blobs)?;
    let document: Document = parse(&descriptor.digest, &text)?;
    if let (Some(manifests), Some(depth)) = (&document.manifests, depth.checked_sub(1)) {
        return manifest(blobs, for_here(manifests.iter())?, name, depth);
    }
    let (Some(layers), Some(config)) = (document.layers, document.config) else {
        return Err(unusable(
            format!(
                "its {:?} is no manifest of a container image",
                descriptor.digest
            ),
            "fetch or make the image again",
        ));
    };
    let mut image = ContainerImage::default();
    for layer in layers {
        image.layers.push(find_layer(blobs, &layer)?);
    }
    let text = config.text(blobs)?;
    let platform: Platform = parse(&config.digest, &text)?;
    image.notes.push(format!(
        "container image {name} of an OCI layout, {}, {}",
        platform.name(),
        count_of(image.layers.len())
    ));
    if platform.is_foreign() {
        image.warnings.push(not_for_here(&platform));
    }
    Ok(image)
}

fn find_layer(blobs: &mut dyn Blobs, layer: &Descriptor) -> Result<Layer, ScanError> {
    if layer.media_type.ends_with("+encrypted") {
        return Err(unusable(
            "its layers are encrypted",
            "decrypt it with \"skopeo copy --decryption-key KEY\"",
        ));
    }
    let digest = layer.digest()?;
    let path = digest.path();
    let blob = blobs.find(&path)?.ok_or_else(|| missing(&path))?;
    if layer.size.is_some_and(|size| size != blob.bytes) {
        return Err(unusable(
            format!(
                "its {path:?} has {} bytes, its manifest says another number",
                blob.bytes
            ),
            "fetch the image again",
        ));
    }
    Ok(Layer {
        blob,
        digest: Some(digest),
        name: path,
    })
}
