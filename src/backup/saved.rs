//! A backup image that is looked into: what it says about itself, and what is in it.

use std::path::Path;
use std::sync::Arc;

use wpar_mountd::lower::tar::{ImageError, TarLower};
use wpar_mountd::overlay::Overlay;

use super::describe::{BackupKind, WPAR_DATA};
use crate::model::image_data::{self, IMAGE_DATA, ImageData, Stanza};
use crate::source::files::Files;

/// An open image.
#[derive(Debug)]
pub struct Saved {
    lower: Arc<TarLower>,
    tree: Overlay,
    image_data: ImageData,
    wpar_data: ImageData,
}

impl Saved {
    /// Opens an archive through its index.
    ///
    /// # Errors
    /// Those of the archive and its index.
    pub fn open(image: &Path, index: &Path) -> Result<Self, ImageError> {
        let lower = Arc::new(TarLower::open(image, index)?);
        let tree = Overlay::new(lower.clone(), None);
        // What cannot be read says nothing.
        let read = |name: &str| {
            let text = Files::read(&tree, name.as_bytes(), image_data::LONGEST);
            ImageData::parse(&text.ok().flatten().unwrap_or_default())
        };
        let (image_data, wpar_data) = (read(IMAGE_DATA), read(WPAR_DATA));
        Ok(Self {
            lower,
            tree,
            image_data,
            wpar_data,
        })
    }

    /// What is in it.
    pub fn tree(&self) -> &Overlay {
        &self.tree
    }

    /// The layer underneath that.
    pub fn lower(&self) -> &TarLower {
        &self.lower
    }

    /// Its `image.data`; empty if there is none.
    pub fn image_data(&self) -> &ImageData {
        &self.image_data
    }

    /// What kind of backup it is, if it was made by `wpar`.
    pub fn kind(&self) -> Option<BackupKind> {
        BackupKind::from_word(self.wpar_data.get("wpar_data", "KIND")?)
    }

    /// What is said about the WPAR that it is of.
    pub fn wpar(&self) -> Option<&Stanza> {
        self.wpar_data.stanzas("wpar").next()
    }
}
