//! apk: stanzas of `installed`, lines of `triggers`, and `world`, in which `!NAME` keeps a package away.
//! Scripts of packages that are not there are never run, so `scripts.tar` stays as it is. Format:
//! apk-package(5), apk-world(5).

use std::collections::HashSet;

use wpar_mountd::error::FsError;

use super::{Record, without_lines};
use crate::model::view::FilesetFate;
use crate::source::files::join;

/// Where the data base is, with or without a merged `/usr`.
const PLACES: [&[u8]; 2] = [b"lib/apk/db", b"usr/lib/apk/db"];
const WORLD: &[u8] = b"etc/apk/world";

pub(super) fn make(record: &mut Record<'_, '_>) -> Result<(), FsError> {
    let fates = record.fates();
    let fate_of = |stanza: &[u8]| {
        let name = letter(stanza, b'P')?;
        fates.get(name, letter(stanza, b'A').unwrap_or_default())
    };
    for place in PLACES {
        let installed = join(place, b"installed");
        let Some((real, text)) = record.read(&installed)? else {
            continue;
        };
        let mut kept = Vec::with_capacity(text.len());
        let mut digests: HashSet<&[u8]> = HashSet::new();
        for stanza in stanzas(&text) {
            match fate_of(stanza) {
                None => kept.extend_from_slice(stanza),
                Some(FilesetFate::Ghost) => kept.extend(ghost(stanza)),
                Some(_) => digests.extend(letter(stanza, b'C')),
            }
        }
        record.write(&real, kept, super::REASON)?;
        record.rewrite(&join(place, b"triggers"), |text| {
            without_lines(text, |line| {
                let digest = line.split(|&byte| byte == b' ').next();
                digests.contains(digest.unwrap_or_default())
            })
        })?;
        break;
    }
    record.rewrite(WORLD, |text| world(text, |name| fates.hides(name)))
}

/// The stanzas, each with the empty line behind it.
fn stanzas(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|two| two == b"\n\n");
        let (stanza, after) = rest.split_at(end.map_or(rest.len(), |at| at + 2));
        rest = after;
        (!stanza.is_empty()).then_some(stanza)
    })
}

/// The value of a letter in a stanza.
fn letter(stanza: &[u8], wanted: u8) -> Option<&[u8]> {
    stanza
        .split(|&byte| byte == b'\n')
        .find_map(|line| match line {
            [letter, b':', value @ ..] if *letter == wanted => Some(value),
            _ => None,
        })
}

/// A stanza of something that has no files and needs nothing.
fn ghost(stanza: &[u8]) -> Vec<u8> {
    without_lines(
        stanza,
        |line| matches!(line, [letter, b':', ..] if b"DFMRaZi".contains(letter)),
    )
}

/// `world` with hidden packages forbidden instead of wanted. A word is a name with a condition on
/// its version, or the name of a repository behind `@`.
fn world(text: &[u8], is_hidden: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let words = text.split_inclusive(u8::is_ascii_whitespace);
    let mut changed = Vec::with_capacity(text.len());
    for word in words {
        let end = word
            .iter()
            .position(|byte| b"<>=~@".contains(byte) || byte.is_ascii_whitespace());
        let (name, rest) = word.split_at(end.unwrap_or(word.len()));
        if is_hidden(name) {
            let space = rest.last().filter(|byte| byte.is_ascii_whitespace());
            changed.push(b'!');
            changed.extend_from_slice(name);
            changed.extend(space);
        } else {
            changed.extend_from_slice(word);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wanted_is_forbidden() {
        let text = b"alpine-base\nlinux-lts\ngrub>2\nmkinitfs@edge openssh\n";
        let is_hidden = |name: &[u8]| [&b"linux-lts"[..], b"grub", b"mkinitfs"].contains(&name);
        assert_eq!(
            world(text, is_hidden),
            b"alpine-base\n!linux-lts\n!grub\n!mkinitfs openssh\n"
        );
    }
}
