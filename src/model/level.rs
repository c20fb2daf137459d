//! The level of a system: which release of which distribution it is, for which processor.
//!
//! Two systems are at the same level if distribution, release and architecture are the same. Point
//! level and build week are shown and decide nothing: a stable release keeps its interfaces. What a
//! kernel must offer for a system of another level is [`super::abi`]'s.
//!
//! Everything in here comes from files of an image and is cleaned when it is read: printable, short.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::abi::Abi;

/// What an unknown distribution is called.
const UNKNOWN: &str = "unknown";

/// Longest text of a field, in characters.
const LONGEST: usize = 64;

/// The level of a system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Level {
    /// Distribution (`ID` of os-release(5)); empty if it is not known.
    pub id: String,
    /// Its release (`VERSION_ID`); empty for one that has none, as Arch.
    pub version_id: String,
    /// Architecture as `uname -m` names it; empty if it is not known.
    pub architecture: String,
    /// The release with all that is known of its parts: `12.11`, `22.04.5`.
    pub point: String,
    /// When it was built, in seconds since 1970: the time of its os-release file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built: Option<i64>,
    /// What its programs ask of a kernel and a processor.
    pub abi: Abi,
}

impl Level {
    /// With texts that can be shown and kept.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        for text in [
            &mut self.id,
            &mut self.version_id,
            &mut self.architecture,
            &mut self.point,
        ] {
            // A colon would be taken for the end of a field where fields are listed.
            let plain = |letter: &char| letter.is_ascii_graphic() && *letter != ':';
            *text = text.trim().chars().filter(plain).take(LONGEST).collect();
        }
        self
    }

    /// Whether the distribution is known.
    pub fn is_known(&self) -> bool {
        !self.id.is_empty()
    }

    /// Whether a system of this level runs on a host of that level as one of its own. What is not
    /// known is like nothing.
    pub fn is_same(&self, host: &Self) -> bool {
        self.is_known()
            && self.id == host.id
            && self.version_id == host.version_id
            && self.architecture == host.architecture
    }

    /// The level in words beside another: with the architecture only if that is another one.
    pub fn beside(&self, other: &Self) -> String {
        if !self.is_known() {
            return "unknown-0".to_owned();
        }
        let name = format!("{} {}", self.id, self.version_id);
        match self.architecture == other.architecture || self.architecture.is_empty() {
            true => name.trim_end().to_owned(),
            false => format!("{} ({})", name.trim_end(), self.architecture),
        }
    }

    /// Version, release, modification and fix as `oslevel` says them: `12.11.0.0`.
    pub fn dotted(&self) -> String {
        let point = if self.point.is_empty() {
            &self.version_id
        } else {
            &self.point
        };
        let mut parts: Vec<&str> = match numbers(&self.version_id).is_empty() {
            true => Vec::new(),
            false => point
                .split('.')
                .take_while(|part| is_number(part))
                .collect(),
        };
        parts.truncate(4);
        parts.resize(4, "0");
        parts.join(".")
    }

    /// Release and point level as `oslevel -r` says them: `1200-11`.
    pub fn technology_level(&self) -> String {
        format!("{:04}-{:02}", self.release(), self.point_level())
    }

    /// Release, point level and week of the build as `oslevel -s` says them: `1200-11-00-2519`.
    pub fn service_pack(&self) -> String {
        let week = self.built.map_or_else(|| "0000".to_owned(), build_week);
        format!("{}-00-{week}", self.technology_level())
    }

    /// Four digits: 100 times the release's first number and its second one. 0 for a system
    /// without releases.
    fn release(&self) -> u32 {
        let parts = numbers(&self.version_id);
        let part = |at: usize| parts.get(at).copied().unwrap_or(0);
        part(0)
            .saturating_mul(100)
            .saturating_add(part(1).min(99))
            .min(9999)
    }

    /// The number behind those that [`Self::release`] has, 0 if there is none.
    fn point_level(&self) -> u32 {
        let release = numbers(&self.version_id);
        let point = match numbers(&self.point) {
            point if point.is_empty() => release.clone(),
            point => point,
        };
        match release.len() {
            0 => 0,
            parts => point.get(parts.min(2)).copied().unwrap_or(0).min(99),
        }
    }
}

/// The service pack and what it is of: `1200-11-00-2519 (debian 12)`.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = if self.is_known() { &self.id } else { UNKNOWN };
        write!(
            f,
            "{id}-{}",
            if self.version_id.is_empty() {
                "0"
            } else {
                &self.version_id
            }
        )
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The numbers that a version begins with.
fn numbers(version: &str) -> Vec<u32> {
    let parts = version
        .split('.')
        .map(|part| part.parse().ok().filter(|_| is_number(part)));
    parts.take_while(Option::is_some).flatten().collect()
}

/// Year and week of ISO 8601, two digits each, of a time in seconds since 1970.
pub fn build_week(seconds: i64) -> String {
    const DAY: i64 = 86_400;
    let days = seconds.div_euclid(DAY);
    // 1970 began on a Thursday. A week belongs to the year that its Thursday is in.
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let year = year_of(thursday);
    let week = (thursday - first_day(year)) / 7 + 1;
    format!("{:02}{week:02}", year.rem_euclid(100))
}

/// The year that a day since 1970 is in, by the Gregorian calendar.
fn year_of(day: i64) -> i64 {
    // 400 years have 146097 days; the guess is off by one at most.
    let guess = 1970 + (day.saturating_mul(400)).div_euclid(146_097);
    (guess - 1..=guess + 1)
        .rev()
        .find(|&year| first_day(year) <= day)
        .unwrap_or(guess)
}

/// The first day of a year, in days since 1970.
fn first_day(year: i64) -> i64 {
    let past = year.saturating_sub(1);
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    (year - 1970).saturating_mul(365) + leaps(past) - leaps(1969)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(id: &str, version_id: &str, point: &str) -> Level {
        Level {
            id: id.to_owned(),
            version_id: version_id.to_owned(),
            architecture: "x86_64".to_owned(),
            point: point.to_owned(),
            // 2025-05-09.
            built: Some(1_746_748_800),
            abi: Abi::default(),
        }
    }

    #[test]
    fn levels_have_the_shape_of_aix() {
        for (id, version, point, dotted, service_pack) in [
            ("debian", "12", "12.11", "12.11.0.0", "1200-11-00-2519"),
            ("ubuntu", "22.04", "22.04.5", "22.04.5.0", "2204-05-00-2519"),
            ("rhel", "9.4", "", "9.4.0.0", "0904-00-00-2519"),
            ("alpine", "3.20.3", "3.20.3", "3.20.3.0", "0320-03-00-2519"),
            ("arch", "", "", "0.0.0.0", "0000-00-00-2519"),
            ("debian", "", "trixie/sid", "0.0.0.0", "0000-00-00-2519"),
            (
                "amzn",
                "2023",
                "2023.6.20241010",
                "2023.6.20241010.0",
                "9999-06-00-2519",
            ),
            ("odd", "a.b", "1.2", "0.0.0.0", "0000-00-00-2519"),
        ] {
            let level = level(id, version, point);
            assert_eq!(level.dotted(), dotted, "{id}");
            assert_eq!(level.service_pack(), service_pack, "{id}");
            assert_eq!(level.technology_level(), &service_pack[..7], "{id}");
        }
        assert_eq!(Level::default().service_pack(), "0000-00-00-0000");
    }

    #[test]
    fn weeks_are_those_of_iso_8601() {
        for (seconds, week) in [
            (0, "7001"),
            (1_746_748_800, "2519"), // 2025-05-09
            (1_104_537_600, "0453"), // 2005-01-01, a Saturday
            (1_230_508_800, "0901"), // 2008-12-29, a Monday
            (1_262_476_799, "0953"), // 2010-01-02
            (1_262_563_200, "1001"), // 2010-01-04
            (951_782_400, "0009"),   // 2000-02-29
            (-1, "7001"),            // 1969-12-31, a Wednesday
            (i64::MAX / 1000, "7810"),
        ] {
            let found = build_week(seconds);
            assert_eq!(found.len(), 4, "{seconds}");
            if seconds < 1 << 40 {
                assert_eq!(found, week, "{seconds}");
            }
        }
        // Hostile times.
        build_week(i64::MAX);
        build_week(i64::MIN);
    }

    #[test]
    fn the_same_is_distribution_release_and_architecture() {
        let here = level("debian", "12", "12.11");
        assert!(
            level("debian", "12", "12.1").is_same(&here),
            "the point level decides nothing"
        );
        for other in [
            level("debian", "11", "11.7"),
            level("ubuntu", "12", ""),
            Level {
                architecture: "aarch64".to_owned(),
                ..here.clone()
            },
            Level::default(),
        ] {
            assert!(!other.is_same(&here), "{other}");
        }
        assert!(
            !Level::default().is_same(&Level::default()),
            "two unknown ones may be anything"
        );
        assert!(level("arch", "", "").is_same(&level("arch", "", "")));
    }

    #[test]
    fn words_name_what_is_different() {
        let here = level("debian", "12", "");
        assert_eq!(level("debian", "11", "").beside(&here), "debian 11");
        assert_eq!(level("arch", "", "").beside(&here), "arch");
        assert_eq!(Level::default().beside(&here), "unknown-0");
        let arm = Level {
            architecture: "aarch64".to_owned(),
            ..here.clone()
        };
        assert_eq!(arm.beside(&here), "debian 12 (aarch64)");
        assert_eq!(
            (here.to_string(), Level::default().to_string()),
            ("debian-12".into(), "unknown-0".into())
        );
    }

    #[test]
    fn what_an_image_says_cannot_reach_a_terminal() {
        let hostile = Level {
            id: "\u{1b}[2Jdeb\nian".repeat(40),
            ..Level::default()
        };
        let id = hostile.cleaned().id;
        assert!(
            id.len() <= 64 && id.chars().all(|c| c.is_ascii_graphic()),
            "{id:?}"
        );
    }
}
