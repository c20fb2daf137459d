//! The same image, many times its size: extra files of data behind its own.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::Fallible;

/// Members that the padding comes in, for each multiple of the image.
const PARTS_PER_MULTIPLE: u64 = 2_000;

/// Writes to `to` the archive `from` and, behind its members, files below `srv/padding` until
/// it is `times` as long. The number of members grows too: by 2,000 for each multiple.
pub(crate) fn pad(from: &Path, to: &Path, times: u64) -> Fallible<()> {
    let length = std::fs::metadata(from)?.len();
    pad_to(from, to, length * times)
}

/// The same until it is `bytes` long, or a little more.
pub(crate) fn pad_to(from: &Path, to: &Path, bytes: u64) -> Fallible<()> {
    let length = std::fs::metadata(from)?.len();
    let more = bytes.saturating_sub(length);
    let members = length_of_members(from)?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(to)?);
    std::io::copy(&mut File::open(from)?.take(members), &mut out)?;
    let mut archive = tar::Builder::new(out);
    let parts = (PARTS_PER_MULTIPLE * more).div_ceil(length.max(1));
    let size = more / parts.max(1);
    for part in 0..parts {
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(1_767_225_600);
        // Contents that differ from part to part, so that nothing can be shared between them.
        let contents = Pattern {
            left: size,
            seed: part.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        };
        let name = format!("./srv/padding/{:03}/{part:06}", part / 100);
        archive.append_data(&mut header, name, contents)?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

/// Length of the archive up to the end-of-archive blocks: of zeros, at its end.
fn length_of_members(archive: &Path) -> Fallible<u64> {
    let mut end = 0;
    let mut reader = tar::Archive::new(BufReader::new(File::open(archive)?));
    for entry in reader.entries()?.raw(true) {
        let entry = entry?;
        end = entry.raw_file_position() + entry.size().div_ceil(512) * 512;
    }
    Ok(end)
}

/// Bytes without repetition (xorshift64).
struct Pattern {
    left: u64,
    seed: u64,
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for chunk in buffer.get_mut(..count).unwrap_or_default().chunks_mut(8) {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            let bytes = self.seed.to_le_bytes();
            chunk.copy_from_slice(bytes.get(..chunk.len()).unwrap_or_default());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_padded_archive_has_all_that_the_image_had() {
        let dir = tempfile::tempdir().unwrap();
        let (small, big) = (dir.path().join("small.tar"), dir.path().join("big.tar"));
        let mut builder = tar::Builder::new(File::create(&small).unwrap());
        let data = vec![b'x'; 100_001];
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        let long = format!("./{}", "long/".repeat(60));
        builder
            .append_data(&mut header, format!("{long}name"), &data[..])
            .unwrap();
        builder.finish().unwrap();
        drop(builder);
        pad(&small, &big, 10).unwrap();
        let length = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!(
            length(&big) >= 10 * length(&small),
            "{} {}",
            length(&big),
            length(&small)
        );
        let mut archive = tar::Archive::new(File::open(&big).unwrap());
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            names.push(entry.path().unwrap().into_owned());
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            assert_eq!(contents.len() as u64, entry.size());
        }
        assert_eq!(names.len(), 18_001);
        assert!(names.first().unwrap().ends_with("name"));
    }
}
