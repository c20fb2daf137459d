//! Shell patterns for one name: `*` and `?`.

/// Whether `name` matches `pattern` as a whole. Takes time in proportion to both lengths at worst.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Where to go on from if the rest does not match: the last star, and what it has taken so far.
    let mut star = None;
    while let Some(&byte) = name.get(from) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == byte => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((before, taken)) = star else {
                    return false;
                };
                star = Some((before, taken + 1));
                at = before + 1;
                from = taken + 1;
            }
        }
    }
    pattern
        .get(at..)
        .is_none_or(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
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
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
