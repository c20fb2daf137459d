//! Digests of the files of an image (image-spec, `descriptor.md`).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256, Sha512};

use crate::lower::tar::error::ScanError;
use crate::lower::tar::source::StoredBytes;

/// Read at a time.
const PIECE: usize = 1 << 20;

/// What the bytes of a file come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lower::tar) struct Digest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Digest {
    /// Reads `sha256:0123...`; `None` for another algorithm or another form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (algorithm, hex) = text.split_once(':')?;
        let (algorithm, length) = match algorithm {
            "sha256" => (Algorithm::Sha256, 64),
            "sha512" => (Algorithm::Sha512, 128),
            _ => return None,
        };
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let good = hex.len() == length && hex.bytes().all(is_hex);
        good.then(|| Self {
            algorithm,
            hex: hex.to_owned(),
        })
    }

    /// Where an image layout has the file with this digest.
    pub(super) fn path(&self) -> String {
        let algorithm = match self.algorithm {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        };
        format!("blobs/{algorithm}/{}", self.hex)
    }

    /// Whether `bytes` come to this.
    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        // Changed bytes would not get further than this.
        if cfg!(fuzzing) {
            return true;
        }
        self.hex
            == match self.algorithm {
                Algorithm::Sha256 => hex(&Sha256::digest(bytes)),
                Algorithm::Sha512 => hex(&Sha512::digest(bytes)),
            }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.hex.get(..12).unwrap_or_default();
        write!(f, "{short}")
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Computes the digest of stored bytes while they are decoded by somebody else.
pub(in crate::lower::tar) struct Digesting<'d> {
    pub(in crate::lower::tar) expected: &'d Digest,
    pub(in crate::lower::tar) bytes: &'d dyn StoredBytes,
    /// Set when nobody wants to know any more.
    pub(in crate::lower::tar) stop: &'d AtomicBool,
}

impl Digesting<'_> {
    /// Whether the digest holds; true also if it was stopped.
    ///
    /// # Errors
    /// Those of reading.
    pub(in crate::lower::tar) fn run(&self) -> Result<bool, ScanError> {
        let found = match self.expected.algorithm {
            Algorithm::Sha256 => self.digest::<Sha256>()?,
            Algorithm::Sha512 => self.digest::<Sha512>()?,
        };
        Ok(found.is_none_or(|found| found == self.expected.hex))
    }

    fn digest<D: sha2::Digest>(&self) -> Result<Option<String>, ScanError> {
        let mut state = D::new();
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        while offset < self.bytes.length() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let count = self
                .bytes
                .read(&mut piece, offset)
                .map_err(ScanError::Read)?;
            if count == 0 {
                break;
            }
            state.update(&piece[..count]);
            offset += count as u64;
        }
        Ok(Some(hex(&state.finalize())))
    }
}
