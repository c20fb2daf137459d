//! Digests by which package data bases know what a file was like.

use std::fmt;
use std::str::FromStr;

use md5::Md5;
use sha1::Sha1;
use sha2::digest::Digest as _;
use sha2::{Sha256, Sha384, Sha512};

/// How a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5 (dpkg, pacman, old rpm).
    Md5,
    /// SHA-1 (apk).
    Sha1,
    /// SHA-256 (rpm).
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 5] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// Digest of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    algorithm: Algorithm,
    value: Vec<u8>,
}

impl Digest {
    /// From hexadecimal digits; `None` if they are no digest of this kind.
    pub fn from_hex(algorithm: Algorithm, text: &[u8]) -> Option<Self> {
        let nibble = |byte: u8| char::from(byte).to_digit(16);
        let pair = |pair: &[u8]| match pair {
            [high, low] => u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok(),
            _ => None,
        };
        let value = text.chunks(2).map(pair).collect::<Option<Vec<_>>>()?;
        (value.len() == algorithm.bytes()).then_some(Self { algorithm, value })
    }

    /// From base64 (RFC 4648, section 4); `None` if it is no digest of this kind.
    pub fn from_base64(algorithm: Algorithm, text: &[u8]) -> Option<Self> {
        let mut value = Vec::new();
        let (mut bits, mut count) = (0u32, 0);
        for &letter in text.iter().take_while(|&&letter| letter != b'=') {
            bits = (bits << 6 | sextet(letter)?) & 0xff_ffff;
            count += 6;
            if count >= 8 {
                count -= 8;
                value.push((bits >> count & 0xff) as u8);
            }
        }
        (value.len() == algorithm.bytes()).then_some(Self { algorithm, value })
    }

    /// That of `contents`, by SHA-256.
    pub fn sha256(contents: &[u8]) -> Self {
        Self {
            algorithm: Algorithm::Sha256,
            value: Sha256::digest(contents).to_vec(),
        }
    }

    /// Whether this is the digest of `contents`.
    pub fn is_of(&self, contents: &[u8]) -> bool {
        let found = match self.algorithm {
            Algorithm::Md5 => Md5::digest(contents).to_vec(),
            Algorithm::Sha1 => Sha1::digest(contents).to_vec(),
            Algorithm::Sha256 => Sha256::digest(contents).to_vec(),
            Algorithm::Sha384 => Sha384::digest(contents).to_vec(),
            Algorithm::Sha512 => Sha512::digest(contents).to_vec(),
        };
        found == self.value
    }
}

fn sextet(letter: u8) -> Option<u32> {
    Some(match letter {
        b'A'..=b'Z' => u32::from(letter - b'A'),
        b'a'..=b'z' => u32::from(letter - b'a') + 26,
        b'0'..=b'9' => u32::from(letter - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// As text: `md5:` and hexadecimal digits, which [`FromStr`] reads.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm.name())?;
        self.value
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// It is no digest in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDigest;

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let (name, digits) = text.split_once(':').ok_or(NoDigest)?;
        let all = Algorithm::ALL.into_iter();
        let mut found = all.filter(|algorithm| algorithm.name() == name);
        let algorithm = found.next().ok_or(NoDigest)?;
        Self::from_hex(algorithm, digits.as_bytes()).ok_or(NoDigest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_usual_tools() {
        // Of md5sum, sha1sum and so on, for "abc" (the vectors of RFC 1321 and FIPS 180).
        for (algorithm, hex) in [
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                Algorithm::Sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ] {
            let digest = Digest::from_hex(algorithm, hex.as_bytes()).unwrap();
            assert!(digest.is_of(b"abc") && !digest.is_of(b"abd"));
            assert_eq!(digest.to_string().parse(), Ok(digest.clone()));
            assert!(Digest::sha256(b"abc").is_of(b"abc"));
            assert_eq!(Digest::from_hex(algorithm, &hex.as_bytes()[1..]), None);
            assert_eq!(
                Digest::from_hex(algorithm, hex.replace('1', "x").as_bytes()),
                None
            );
        }
        let base64 = Digest::from_base64(Algorithm::Sha1, b"qZk+NkcGgWq6PiVxeFDCbJzQ2J0=").unwrap();
        assert!(base64.is_of(b"abc"));
        assert_eq!(Digest::from_base64(Algorithm::Sha1, b"qZk+"), None);
        assert_eq!(Digest::from_base64(Algorithm::Sha1, b"qZk+Nk\xff="), None);
    }
}
