//! Accounts of a base's packages that a WPAR has not yet: added, with the numbers that they have in the
//! base, because files in the shared `/usr` may be theirs. None is changed, and none taken away.

use std::collections::BTreeSet;

/// The WPAR's file with the lines of the base's whose names it lacks, and names that were left out
/// because their number, the field `number`, is somebody else's; `None` if nothing is to be added.
pub fn merged(own: &[u8], base: &[u8], number: Option<usize>) -> (Option<Vec<u8>>, Vec<String>) {
    let field = |line: &[u8], at: usize| -> Vec<u8> {
        let mut fields = line.split(|&byte| byte == b':');
        fields.nth(at).unwrap_or_default().to_vec()
    };
    let names: BTreeSet<_> = lines(own).map(|line| field(line, 0)).collect();
    let mut taken: BTreeSet<_> = match number {
        Some(at) => lines(own).map(|line| field(line, at)).collect(),
        None => BTreeSet::new(),
    };
    let mut text = own.to_vec();
    let mut refused = Vec::new();
    for line in lines(base).filter(|line| !names.contains(&field(line, 0))) {
        let is_free = number.is_none_or(|at| taken.insert(field(line, at)));
        if !is_free {
            refused.push(String::from_utf8_lossy(&field(line, 0)).into_owned());
            continue;
        }
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    ((text != own).then_some(text), refused)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|&byte| byte == b'\n');
    lines.filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_added_and_none_is_changed() {
        let own = b"root:x:0:0::/root:/bin/zsh\nanna:x:101:101::/:/bin/sh";
        let base = b"root:x:0:0::/root:/bin/sh\npostgres:x:100:100::/:/bin/sh\nredis:x:101:101::/:/bin/sh\n";
        let (text, refused) = merged(own, base, Some(2));
        assert_eq!(
            String::from_utf8(text.unwrap()).unwrap(),
            "root:x:0:0::/root:/bin/zsh\nanna:x:101:101::/:/bin/sh\npostgres:x:100:100::/:/bin/sh\n"
        );
        assert_eq!(refused, ["redis"]);
        assert_eq!(merged(own, b"root:*:1::\n", None), (None, vec![]));
    }
}
