//! Compressed files of any bytes: decoded or refused, and what is decoded in chunks is the same.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;

use rustix::fs::MemfdFlags;

use super::codecs;
use super::format::{ChunkRecord, Codec};
use super::source::Stretch;
use super::stream::ChunkLog;
use super::write::pack_window;
use crate::fuzzing::Input;

/// Most decoded bytes that are waited for.
const MOST: usize = 24 << 20;
/// Longest chunk of a record that is made up.
const LONGEST: u32 = 1 << 20;

pub(crate) fn gzip(data: &[u8]) {
    any(Codec::Gzip, data);
}

pub(crate) fn zstd(data: &[u8]) {
    any(Codec::Zstd, data);
}

pub(crate) fn xz(data: &[u8]) {
    any(Codec::Xz, data);
}

pub(crate) fn bzip2(data: &[u8]) {
    any(Codec::Bzip2, data);
}

pub(crate) fn lz4(data: &[u8]) {
    any(Codec::Lz4, data);
}

fn any(codec: Codec, data: &[u8]) {
    let fd = rustix::fs::memfd_create("wpar-fuzz", MemfdFlags::CLOEXEC).unwrap();
    let file = File::from(fd);
    std::os::unix::fs::FileExt::write_all_at(&file, data, 0).unwrap();
    let stored = Stretch::new(&file, 0, data.len() as u64);
    let in_chunks = decode(codec, stored, data, false);
    let in_one = decode(codec, stored, data, true);
    if let (Some(chunks), Some(one)) = (in_chunks, in_one) {
        assert!(chunks == one, "decoded in two ways");
    }
    made_up_chunk(codec, data);
}

/// Decodes all; `None` if that fails or takes too long.
fn decode(codec: Codec, stored: Stretch<'_>, data: &[u8], copying: bool) -> Option<Vec<u8>> {
    let mut windows = Vec::new();
    let mut sink = |window: &[u8]| {
        let packed = pack_window(window).unwrap();
        let place = (windows.len() as u64, packed.len() as u32);
        windows.extend(packed);
        Ok(place)
    };
    let mut log = ChunkLog::new(!copying, Some(&mut sink));
    let mut decoder = codecs::decoder(codec, stored, copying).ok()?;
    let mut output = Vec::new();
    while let Some(bytes) = decoder.next(&mut log).ok()? {
        output.extend_from_slice(bytes);
        if output.len() > MOST {
            return None;
        }
    }
    let chunks = log.finish(decoder.position());
    drop((log, decoder));
    if !copying {
        let length: usize = chunks.iter().map(|chunk| chunk.length as usize).sum();
        assert_eq!(length, output.len(), "chunks and the whole");
        for chunk in &chunks {
            let stored = &data[chunk.stored_offset as usize..][..chunk.stored_bytes as usize];
            let window = &windows[chunk.window_offset as usize..][..chunk.window_bytes as usize];
            let bytes = codecs::decode_chunk(codec, chunk, stored, window).unwrap();
            let start = chunk.stream_offset as usize;
            assert!(bytes == output[start..start + bytes.len()], "{chunk:?}");
        }
    }
    Some(output)
}

/// A damaged index may say anything of a chunk.
fn made_up_chunk(codec: Codec, data: &[u8]) {
    let mut input = Input::new(data);
    let chunk = ChunkRecord {
        length: input.u32() % LONGEST,
        inside: input.byte() & 1 != 0,
        bit_count: input.byte(),
        bits: input.byte(),
        ..Default::default()
    };
    for window in [
        &[][..],
        &pack_window(&data[..data.len().min(9000)]).unwrap(),
    ] {
        for stored in [data, data.get(9..).unwrap_or_default()] {
            if let Ok(bytes) = codecs::decode_chunk(codec, &chunk, stored, window) {
                assert_eq!(bytes.len(), chunk.length as usize);
            }
        }
    }
}

macro_rules! samples {
    ($($name:literal),*) => {
        vec![$(include_bytes!(concat!("../../../tests/data/codecs/", $name)).to_vec()),*]
    };
}

pub(crate) fn gzips() -> Vec<Vec<u8>> {
    samples!["members.gz"]
}

pub(crate) fn zstds() -> Vec<Vec<u8>> {
    samples!["frames.zst"]
}

pub(crate) fn xzs() -> Vec<Vec<u8>> {
    samples!["one.xz", "blocks.xz", "streams.xz"]
}

pub(crate) fn bzip2s() -> Vec<Vec<u8>> {
    samples!["blocks.bz2"]
}

pub(crate) fn lz4s() -> Vec<Vec<u8>> {
    samples!["linked.lz4", "legacy.lz4"]
}
