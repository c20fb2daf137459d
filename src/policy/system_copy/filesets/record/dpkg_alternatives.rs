//! Alternatives: `var/lib/dpkg/alternatives/NAME`. Format (dpkg, `utils/update-alternatives.c`): how it is
//! chosen; the link; for each further link its name and path; an empty line; and for each choice its
//! path, its priority, and the path for each further link.

/// The links of an alternative, and its choices.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Alternative<'a> {
    /// Absolute paths of the links that lead into `etc/alternatives`.
    pub(super) links: Vec<&'a [u8]>,
    /// Absolute paths of what can be chosen.
    pub(super) choices: Vec<&'a [u8]>,
}

/// Reads a record.
pub(super) fn parse(text: &[u8]) -> Alternative<'_> {
    let mut found = Alternative::default();
    let mut lines = text.split(|&byte| byte == b'\n').skip(1);
    found.links.extend(lines.next());
    let mut further = 0;
    while let Some(name) = lines.next().filter(|name| !name.is_empty()) {
        let _ = name;
        found.links.extend(lines.next());
        further += 1;
    }
    while let Some(choice) = lines.next().filter(|choice| !choice.is_empty()) {
        found.choices.push(choice);
        for _ in 0..=further {
            lines.next();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_choices_are_told_apart() {
        let text = b"auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n\
            /bin/nano\n40\n/usr/share/man/man1/nano.1.gz\n/usr/bin/vim.basic\n30\n\n\n";
        let found = parse(text);
        let links: [&[u8]; 2] = [b"/usr/bin/editor", b"/usr/share/man/man1/editor.1.gz"];
        let choices: [&[u8]; 2] = [b"/bin/nano", b"/usr/bin/vim.basic"];
        assert_eq!(
            (found.links, found.choices),
            (links.to_vec(), choices.to_vec())
        );
        for text in ["", "auto", "auto\n/x\n", "auto\n/x\ny"] {
            let _ = parse(text.as_bytes());
        }
    }
}
