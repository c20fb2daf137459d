//! The description that `docker save` writes.

use serde::Deserialize;

use super::platform::Platform;
use super::{
    Blobs, ContainerImage, Digest, Layer, choose, count_of, is_meant, missing, parse, read_text,
};
use crate::lower::tar::error::ScanError;

const MANIFEST: &str = "manifest.json";

/// One image of several.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Entry {
    /// Its names, or the beginning of its configuration's if it has none.
    fn names(&self) -> Vec<String> {
        match &self.repo_tags {
            Some(tags) if !tags.is_empty() => tags.clone(),
            _ => {
                let file = self.config.rsplit('/').next().unwrap_or_default();
                vec![file.chars().take(12).collect()]
            }
        }
    }
}

/// Whether a `manifest.json` is one of these.
pub(super) fn is_manifest(text: &[u8]) -> bool {
    serde_json::from_slice::<Vec<Entry>>(text).is_ok_and(|entries| !entries.is_empty())
}

/// The image called `wanted`, or the only one.
pub(super) fn image(
    blobs: &mut dyn Blobs,
    wanted: Option<&str>,
) -> Result<ContainerImage, ScanError> {
    let text = read_text(blobs, MANIFEST)?;
    let entries: Vec<Entry> = parse(MANIFEST, &text)?;
    let is_wanted = |entry: &&Entry| {
        wanted.is_none_or(|wanted| entry.names().iter().any(|name| is_meant(name, wanted)))
    };
    let mut chosen = entries.iter().filter(is_wanted);
    let (Some(entry), None) = (chosen.next(), chosen.next()) else {
        let names: Vec<String> = entries.iter().flat_map(Entry::names).collect();
        return Err(choose(&names, wanted));
    };
    let mut image = ContainerImage::default();
    for path in &entry.layers {
        let blob = blobs.find(path)?.ok_or_else(|| missing(path))?;
        // Since version 25 a layer lies under its digest.
        let digest = path.strip_prefix("blobs/sha256/");
        let digest = digest.and_then(|hex| Digest::parse(&format!("sha256:{hex}")));
        image.layers.push(Layer {
            blob,
            digest,
            name: path.clone(),
        });
    }
    let text = read_text(blobs, &entry.config)?;
    let platform: Platform = parse(&entry.config, &text)?;
    image.notes.push(format!(
        "container image {} of docker save, {}, {}",
        entry.names().join(", "),
        platform.name(),
        count_of(image.layers.len())
    ));
    if platform.is_foreign() {
        image.warnings.push(not_for_here(&platform));
    }
    Ok(image)
}

/// The warning about programs that do not run.
pub(super) fn not_for_here(platform: &Platform) -> String {
    format!(
        "the container image is for {}, this machine is {}: its programs do not run here",
        platform.name(),
        Platform::here().name()
    )
}
