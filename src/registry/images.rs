//! Indexes of images that nobody needs any more.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use wpar_mountd::lower::tar::{ImageName, shared_file};

use super::{Registry, RegistryResult, failed, remove};
use crate::model::{Source, WparRecord};

/// What the name of the seekable copy that goes with an index has behind that of the index.
const COPY_SUFFIX: &str = ".zst";

impl Registry {
    /// If no WPAR or kept store is of `source` any more, removes what its mounts shared, and if its
    /// image is gone, its index too. The index of an image that is there is worth keeping: the next
    /// WPAR of it needs none.
    ///
    /// # Errors
    /// Those of the file system, and of records that cannot be read.
    pub fn drop_stale_index(&self, source: &Source) -> RegistryResult<()> {
        let trail = self.layout().trail(source);
        let Source::Image { path, index, .. } = source else {
            if source.path().is_some_and(|path| !path.exists()) {
                remove::remove_tree(&trail).map_err(failed("remove", &trail))?;
            }
            return Ok(());
        };
        if self.uses_index(index)? {
            return Ok(());
        }
        let shared = shared_file(index, &self.layout().chunks_dir());
        remove::remove_tree(&shared).map_err(failed("remove", &shared))?;
        if ImageName::of(path).path.exists() {
            return Ok(());
        }
        for path in [index.clone(), seekable_copy(index), trail] {
            remove::remove_tree(&path).map_err(failed("remove", &path))?;
        }
        Ok(())
    }

    fn uses_index(&self, index: &Path) -> RegistryResult<bool> {
        let uses = |record: Option<WparRecord>| match record.map(|record| record.source) {
            Some(Source::Image { index: other, .. }) => other == index,
            _ => false,
        };
        for name in self.names()? {
            if uses(self.load(&name)?) {
                return Ok(true);
            }
        }
        for name in self.kept_names()? {
            if uses(self.load_kept(&name)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn seekable_copy(index: &Path) -> PathBuf {
    let mut name = OsString::from(index);
    name.push(COPY_SUFFIX);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Fingerprint;
    use crate::registry::Layout;
    use std::fs;

    #[test]
    fn an_index_goes_with_its_image_not_before() {
        let temp = tempfile::tempdir().unwrap();
        let registry = Registry::open(Layout::new(temp.path())).unwrap();
        let image = temp.path().join("image.tar");
        let index = temp.path().join("image.tar.wparidx");
        let trail = temp.path().join("image.tar.wparidx.trail");
        for path in [&image, &index, &seekable_copy(&index), &trail] {
            fs::write(path, "").unwrap();
        }
        let fingerprint = Fingerprint {
            bytes: 0,
            modified: 0,
            nanoseconds: 0,
        };
        let source = Source::Image {
            path: image.clone(),
            index: index.clone(),
            fingerprint,
        };
        registry.drop_stale_index(&source).unwrap();
        assert!(index.exists());
        fs::remove_file(&image).unwrap();
        registry.drop_stale_index(&source).unwrap();
        assert!(!index.exists());
        assert!(!seekable_copy(&index).exists());
        assert!(!trail.exists());
    }
}
