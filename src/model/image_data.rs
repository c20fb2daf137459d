//! `image.data`: what a system backup says about itself, a file of stanzas at its beginning.
//!
//! A stanza is a name with a colon, then lines `KEY= value` that are set in by a tab. Names may come
//! again: there is one `fs_data` for each file system. Lines that begin with `#` say how the rest
//! came about. What is neither is passed over, since real files hold lists that are laid out
//! freely; order is kept. Format: IBM, AIX Files Reference, "image.data File".
//!
//! Values come from an image and go to a terminal: control characters are replaced when they are
//! read. A value is never a path, a command or a length to anybody here.

use std::fmt;

/// Name of the file in an image, without `./`.
pub const IMAGE_DATA: &str = "image.data";
/// Longest `image.data` that is worth reading, in bytes.
pub const LONGEST: u64 = 4 << 20;

/// One stanza.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stanza {
    name: String,
    comment: Option<String>,
    fields: Vec<(String, String)>,
}

impl Stanza {
    /// An empty stanza of this name.
    pub fn new(name: &str) -> Self {
        Self {
            name: shown(name),
            ..Self::default()
        }
    }

    /// With a line in front of it that says where it comes from.
    #[must_use]
    pub fn comment(mut self, comment: &str) -> Self {
        self.comment = Some(shown(comment));
        self
    }

    /// With a field more. A field without a value is one as well.
    #[must_use]
    pub fn field(mut self, key: &str, value: impl fmt::Display) -> Self {
        let value = shown(value.to_string().trim());
        self.fields.push((shown(key.trim()), value));
        self
    }

    /// Its name, as `image_data`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of the first field called `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl fmt::Display for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(comment) = &self.comment {
            writeln!(f, "##{comment}\n")?;
        }
        writeln!(f, "{}:", self.name)?;
        for (key, value) in &self.fields {
            writeln!(f, "\t{key}= {value}")?;
        }
        Ok(())
    }
}

/// A whole file. What [`fmt::Display`] writes, [`ImageData::parse`] reads again, but for comments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageData {
    stanzas: Vec<Stanza>,
}

impl ImageData {
    /// Reads a file; one without stanzas gives none.
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut stanzas: Vec<Stanza> = Vec::new();
        for line in text.lines() {
            let whole = line.trim();
            if whole.starts_with('#') {
                continue;
            }
            if let Some(name) = stanza_name(line) {
                stanzas.push(Stanza::new(name));
            } else if let Some((key, value)) = whole.split_once('=')
                && let Some(stanza) = stanzas.last_mut()
            {
                *stanza = std::mem::take(stanza).field(key, value);
            }
        }
        Self { stanzas }
    }

    /// Adds a stanza at the end.
    pub fn push(&mut self, stanza: Stanza) {
        self.stanzas.push(stanza);
    }

    /// The stanzas called `name`, in order.
    pub fn stanzas<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Stanza> {
        self.stanzas
            .iter()
            .filter(move |stanza| stanza.name == name)
    }

    /// A value of the first stanza called `stanza`; `None` also if it is empty.
    pub fn get(&self, stanza: &str, key: &str) -> Option<&str> {
        let found = self.stanzas.iter().find(|known| known.name == stanza)?;
        found.get(key).filter(|value| !value.is_empty())
    }

    /// `bff` for a backup of AIX, `tar` for one of ours.
    pub fn image_type(&self) -> Option<&str> {
        self.get("image_data", "IMAGE_TYPE")
    }

    /// Version of the system, as `7.1.2.0`.
    pub fn level(&self) -> Option<&str> {
        self.get("image_data", "OSLEVEL")
    }

    /// What `uname -a` said, as `AIX host 1 7 00F60FEF4C00`.
    pub fn uname(&self) -> Option<&str> {
        self.get("image_data", "UNAME_INFO")
    }

    /// When the backup was made, as `date` said it.
    pub fn date(&self) -> Option<&str> {
        self.get("image_data", "DATE_TIME")
    }
}

impl fmt::Display for ImageData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, stanza) in self.stanzas.iter().enumerate() {
            let gap = if number > 0 { "\n" } else { "" };
            write!(f, "{gap}{stanza}")?;
        }
        Ok(())
    }
}

/// The name in a line like `fs_data:`.
pub(super) fn stanza_name(line: &str) -> Option<&str> {
    let name = line.trim_end().strip_suffix(':')?;
    let word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    (!name.is_empty() && name.chars().all(word)).then_some(name)
}

/// Without control characters, the ends of lines among them.
fn shown(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { '?' } else { letter };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIX: &[u8] =
        b"image_data:\n\tIMAGE_TYPE= bff\n\tDATE_TIME= Fri Mar  1 10:00:00 CET 2024\n\
        \tUNAME_INFO= AIX h 1 7 00F60FEF4C00\n\tPRODUCT_TAPE= no\n\tUSERVG_LIST= \n\
        \tOSLEVEL= 7.1.2.0\n\nlogical_volume_policy:\n\tSHRINK= no\n\n##Commands; a = b\n\n\
        fs_data:\n\tFS_NAME= /\n\tFS_SIZE= 524288\n\nfs_data:\n\tFS_NAME= /usr\n";

    #[test]
    fn stanzas_are_read_in_order() {
        let data = ImageData::parse(AIX);
        assert_eq!(data.image_type(), Some("bff"));
        assert_eq!(data.level(), Some("7.1.2.0"));
        assert_eq!(data.uname(), Some("AIX h 1 7 00F60FEF4C00"));
        assert_eq!(data.date(), Some("Fri Mar  1 10:00:00 CET 2024"));
        assert_eq!(data.get("image_data", "USERVG_LIST"), None);
        let first = data.stanzas("image_data").next().unwrap();
        assert_eq!(first.get("USERVG_LIST"), Some(""));
        let names = data.stanzas("fs_data").map(|stanza| stanza.get("FS_NAME"));
        assert!(names.eq([Some("/"), Some("/usr")]));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let data = ImageData::parse(AIX);
        assert_eq!(ImageData::parse(data.to_string().as_bytes()), data);
        let mut made = ImageData::default();
        made.push(
            Stanza::new("image_data")
                .field("IMAGE_TYPE", "tar")
                .field("LPAR_ID", 0)
                .field("USERVG_LIST", ""),
        );
        made.push(
            Stanza::new("fs_data")
                .comment("Command used: df")
                .field("FS_NAME", "/"),
        );
        assert_eq!(
            made.to_string(),
            "image_data:\n\tIMAGE_TYPE= tar\n\tLPAR_ID= 0\n\tUSERVG_LIST= \n\n\
             ##Command used: df\n\nfs_data:\n\tFS_NAME= /\n"
        );
        let read = ImageData::parse(made.to_string().as_bytes());
        assert_eq!(read.get("image_data", "LPAR_ID"), Some("0"));
        assert_eq!(read.stanzas("fs_data").count(), 1);
    }

    #[test]
    fn nothing_in_it_reaches_a_terminal_as_a_command() {
        let data = ImageData::parse(b"image_data:\n\tOSLEVEL= 7\x1b[2J\xff1\n");
        assert_eq!(data.level(), Some("7?[2J\u{fffd}1"));
        let made = Stanza::new("a\nb:").field("K\nX", "v\n\tY= 1").to_string();
        assert_eq!(made, "a?b::\n\tK?X= v??Y= 1\n");
    }

    #[test]
    fn nonsense_is_passed_over() {
        for text in [
            &b""[..],
            b"\0\0\0",
            b"= =",
            b":\n=\n",
            b"K= v\nimage_data: x\n",
        ] {
            assert_eq!(ImageData::parse(text), ImageData::default(), "{text:?}");
        }
    }
}
