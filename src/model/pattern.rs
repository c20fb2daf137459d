//! Shell patterns for one name: `*`, `?` and `[...]`.

/// Whether `name` matches `pattern` as a whole. A class without an end matches nothing. Takes time in
/// proportion to the product of both lengths at worst.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.as_bytes(), name.as_bytes());
    // Where to go on if the rest does not match: behind the last star, with one byte more in it.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            star = Some((rest, name));
            pattern = rest;
            continue;
        }
        if let [byte, after @ ..] = name {
            let matched = match pattern {
                [b'?', rest @ ..] => Some(rest),
                [b'[', ..] => class(pattern, *byte).and_then(|(is_in, rest)| is_in.then_some(rest)),
                [wanted, rest @ ..] if wanted == byte => Some(rest),
                _ => None,
            };
            if let Some(rest) = matched {
                (pattern, name) = (rest, after);
                continue;
            }
        } else if pattern.is_empty() {
            return true;
        }
        match star {
            Some((rest, [_, taken @ ..])) => {
                star = Some((rest, taken));
                (pattern, name) = (rest, taken);
            }
            _ => return false,
        }
    }
}

/// Whether every `[` of a pattern has its `]`.
pub fn is_whole(pattern: &str) -> bool {
    let mut rest = pattern.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'[') {
        match class(rest.get(at..).unwrap_or_default(), 0) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    true
}

/// Whether `byte` is in the class that `pattern` begins with, and what is behind it; `None` if it has
/// no end.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let inside = pattern.get(1..)?;
    let negated = matches!(inside.first(), Some(b'!' | b'^'));
    let inside = inside.get(usize::from(negated)..)?;
    // A ']' that comes first stands for itself.
    let end = 1 + inside.get(1..)?.iter().position(|&byte| byte == b']')?;
    let mut members = inside.get(..end)?;
    let mut is_in = false;
    while let [first, rest @ ..] = members {
        members = rest;
        let mut last = first;
        if let [b'-', upper, rest @ ..] = members {
            last = upper;
            members = rest;
        }
        is_in |= (first..=last).contains(&&byte);
    }
    Some((is_in != negated, inside.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_question_marks_and_classes() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*.swap", "dev-sda2.swap", true),
            ("*.swap", "swap.target", false),
            ("*persistent*", "70-persistent-net.rules", true),
            ("75-*-generator*", "75-cd-aliases-generator.rules", true),
            ("S??udev", "S02udev", true),
            ("S??udev", "S02udev-finish", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("hv-*-daemon.service", "hv-kvp-daemon.service", true),
            ("*-kmp-*", "nvidia-open-kmp-default", true),
            ("?", "", false),
            ("linux-[!l]*", "linux-libc-dev", false),
            ("linux-[!l]*", "linux-image", true),
            ("gcc-[0-9]*", "gcc-12", true),
            ("gcc-[0-9]*", "gcc-doc", false),
            ("x[]a]y", "x]y", true),
            ("x[ay", "x[ay", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_class_has_an_end() {
        for (pattern, expected) in [
            ("a[bc]*", true),
            ("a[bc", false),
            ("[", false),
            ("[]", false),
        ] {
            assert_eq!(is_whole(pattern), expected, "{pattern}");
        }
    }
}
