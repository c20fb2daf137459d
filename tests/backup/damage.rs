//! Images that are cut off or changed.

use std::fs;
use std::path::{Path, PathBuf};

use wpar_mountd::lower::tar::{ImageError, IndexReport, Silent, ensure_index, save::verify};

use crate::save_packed;
use crate::scratch;
use crate::tar_support::{Random, contents, open};

/// An image of a few files, in a directory of its own.
fn image(dir: &Path) -> (PathBuf, Vec<u8>) {
    let source = dir.join("source");
    fs::create_dir(&source).unwrap();
    for number in 0..20 {
        fs::write(
            source.join(format!("f{number:02}")),
            Random::new(number).text(3000),
        )
        .unwrap();
    }
    let image = dir.join("image");
    save_packed(&source, &image);
    let bytes = fs::read(&image).unwrap();
    (image, bytes)
}

fn index(image: &Path, bytes: &[u8]) -> Result<IndexReport, ImageError> {
    let _ = fs::remove_file(image.with_file_name("image.wparidx"));
    fs::write(image, bytes).unwrap();
    ensure_index(image, image.parent().unwrap(), &mut Silent)
}

#[test]
fn an_image_that_is_cut_off_is_never_taken_for_a_whole_one() {
    let (_temp, dir) = scratch("cut");
    let (path, bytes) = image(&dir);
    let whole = index(&path, &bytes).unwrap();
    // All lengths near the edges, and some in between.
    let near = |length: usize| length < 100 || length + 400 > bytes.len();
    for length in (1..bytes.len()).filter(|length| near(*length) || length % 97 == 0) {
        let cut = &bytes[..length];
        match index(&path, cut) {
            Err(_) => {}
            // All that is missing then is the index or the seek table.
            Ok(report) => {
                assert!(report.built, "{length} of {} bytes", bytes.len());
                assert_eq!(
                    report.entries,
                    whole.entries,
                    "{length} of {} bytes",
                    bytes.len()
                );
            }
        }
        assert!(
            verify(&path, 1, &mut Silent).is_ok_and(|report| report.is_none()),
            "{length}"
        );
    }
}

#[test]
fn an_index_that_was_changed_is_made_anew() {
    let (_temp, dir) = scratch("flip");
    let (path, bytes) = image(&dir);
    let frame = bytes
        .windows(4)
        .rposition(|window| window == 0x184D_2A50_u32.to_le_bytes())
        .unwrap();
    let mut scans = 0;
    for at in frame..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        // A skippable frame of another length makes the rest of the file garbage: an error is fine.
        let Ok(report) = index(&path, &changed) else {
            continue;
        };
        scans += usize::from(report.built);
        let layer = open(&path).unwrap();
        assert_eq!(
            contents(&layer, "f07"),
            Random::new(7).text(3000),
            "byte {at}"
        );
    }
    assert!(scans > (bytes.len() - frame) / 2, "{scans}");
}

#[test]
fn damage_in_a_frame_is_found() {
    let (_temp, dir) = scratch("verify");
    let (path, bytes) = image(&dir);
    let report = verify(&path, 2, &mut Silent).unwrap().unwrap();
    assert!(report.frames >= 1 && report.bytes > 60_000, "{report:?}");
    let mut changed = bytes.clone();
    changed[bytes.len() / 3] ^= 1;
    fs::write(&path, &changed).unwrap();
    let error = verify(&path, 2, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("is damaged at byte 0"), "{error}");
}

#[test]
fn an_index_of_other_contents_is_not_believed() {
    let (_temp, dir) = scratch("other");
    let (path, bytes) = image(&dir);
    let mut changed = bytes.clone();
    // Within the first bytes, which identify the archive.
    changed[200] ^= 1;
    match index(&path, &changed) {
        Ok(report) => assert!(report.built),
        Err(error) => assert!(error.to_string().contains("damaged"), "{error}"),
    }
}
