//! Names of network interfaces.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name, in bytes (`IFNAMSIZ` without the end).
const LONGEST: usize = 15;

/// Name of an interface of the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(String);

impl InterfaceName {
    /// A name as the kernel takes it.
    ///
    /// # Errors
    /// What it should be.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let good = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':');
        match text {
            "" | "." | ".." | "all" | "default" => Err("it is the name of an interface"),
            _ if text.len() > LONGEST || !text.bytes().all(good) => {
                Err("it is the name of an interface, of up to 15 characters")
            }
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> Self {
        name.0
    }
}
