//! Which of an image's platforms this machine is.

use serde::Deserialize;

/// A platform, in the words of Go (image-spec, `image-index.md`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) variant: Option<String>,
}

impl Platform {
    /// This machine.
    pub(super) fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }
    }

    /// Whether it is said, and is another one than this machine's.
    pub(super) fn is_foreign(&self) -> bool {
        !self.os.is_empty() && !self.architecture.is_empty() && !self.runs_here()
    }

    /// Whether programs for it run here.
    pub(super) fn runs_here(&self) -> bool {
        let here = Self::here();
        self.os == here.os && self.architecture == here.architecture
    }

    /// As `linux/arm/v7`.
    pub(super) fn name(&self) -> String {
        let mut name = format!("{}/{}", self.os, self.architecture);
        if let Some(variant) = &self.variant {
            name.push('/');
            name.push_str(variant);
        }
        name
    }
}
