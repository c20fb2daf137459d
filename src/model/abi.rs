//! What the programs of a system ask of the kernel and the processor that they run on, and whether
//! those of a host offer it.
//!
//! The kernel's interface is stable: a system of any age can run on a newer kernel but for a few
//! causes, each of which is one check here. Nothing is refused that may work: such a finding can be
//! overruled.

use serde::{Deserialize, Serialize};

/// What the programs of a system ask for; `None` where that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Abi {
    /// Version of the GNU C library, as `[2, 36]`; `None` for another one as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glibc: Option<[u32; 2]>,
    /// Whether the C library is musl.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub musl: bool,
    /// The oldest kernel that the C library works on (`NT_GNU_ABI_TAG`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<[u32; 3]>,
    /// Level of x86-64 that the C library needs, 1 to 4 (`GNU_PROPERTY_X86_ISA_1_NEEDED`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isa: Option<u8>,
    /// Version of systemd, if that is its init.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd: Option<u32>,
}

/// What a host offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAbi {
    /// Architecture as `uname -m` names it.
    pub architecture: String,
    /// Other architectures whose programs the kernel runs itself.
    pub also: Vec<String>,
    /// Other architectures whose programs run by an emulator that was registered to work in every
    /// root (binfmt_misc with the flag `F`).
    pub emulated: Vec<String>,
    /// Release of the kernel.
    pub kernel: [u32; 3],
    /// Level of x86-64 of the processor, if that is known.
    pub isa: Option<u8>,
    /// Whether the kernel has the page of old system calls; `None` if that is not known.
    pub vsyscall: Option<bool>,
}

/// A check that did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is asked for and what there is.
    pub what: String,
    /// What to do about it.
    pub fix: String,
    /// Whether it may work all the same.
    pub may_work: bool,
}

/// First version of the GNU C library on x86-64 that makes no system call through the old page.
const GLIBC_WITHOUT_VSYSCALL: [u32; 2] = [2, 15];

/// First version of systemd that can do with cgroup2 alone, which is all that a WPAR has.
const SYSTEMD_WITH_CGROUP2: u32 = 232;

/// All checks of a system of this architecture that do not pass on a host.
pub fn check(architecture: &str, abi: &Abi, host: &HostAbi) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(architecture_finding(architecture, host));
    if let Some(kernel) = abi.kernel.filter(|kernel| *kernel > host.kernel) {
        found.push(Finding {
            what: format!(
                "its C library needs Linux {}, this is {}",
                dotted(&kernel),
                dotted(&host.kernel)
            ),
            fix: "start it on a host with a newer kernel".to_owned(),
            may_work: false,
        });
    }
    found.extend(isa_finding(abi.isa.unwrap_or(1), host));
    let old_glibc = abi
        .glibc
        .filter(|version| *version < GLIBC_WITHOUT_VSYSCALL);
    if let Some(version) =
        old_glibc.filter(|_| architecture == "x86_64" && host.vsyscall != Some(true))
    {
        found.push(Finding {
            what: format!("its C library (glibc {}) makes system calls through the vsyscall page, which this kernel {}",
                dotted(&version), if host.vsyscall.is_none() { "may not have" } else { "does not have" }),
            fix: "boot the host with vsyscall=xonly or vsyscall=emulate".to_owned(),
            may_work: host.vsyscall.is_none(),
        });
    }
    if let Some(version) = abi
        .systemd
        .filter(|version| *version < SYSTEMD_WITH_CGROUP2)
    {
        found.push(Finding {
            what: format!("its systemd is older than {SYSTEMD_WITH_CGROUP2} (about {version}) and looks for control groups of version 1, and a workload partition has those of version 2"),
            fix: "'wparexec' runs single commands of it".to_owned(),
            may_work: true,
        });
    }
    found
}

fn architecture_finding(architecture: &str, host: &HostAbi) -> Option<Finding> {
    let has = |names: &[String]| names.iter().any(|name| name == architecture);
    if architecture.is_empty() || architecture == host.architecture || has(&host.also) {
        return None;
    }
    Some(match has(&host.emulated) {
        true => Finding {
            what: format!(
                "its programs are for {architecture}, which an emulator runs on this host ({})",
                host.architecture
            ),
            fix: "it will be slow".to_owned(),
            may_work: true,
        },
        false => Finding {
            what: format!(
                "its programs are for {architecture}, this host is {}",
                host.architecture
            ),
            fix: "start it on a host of that kind; 'wpar mount' shows its files".to_owned(),
            may_work: false,
        },
    })
}

fn isa_finding(needed: u8, host: &HostAbi) -> Option<Finding> {
    if needed <= 1 || host.isa.is_some_and(|isa| isa >= needed) {
        return None;
    }
    let has = host.isa.map_or("of an unknown level".to_owned(), |isa| {
        format!("x86-64-v{isa}")
    });
    Some(Finding {
        what: format!("its programs need a processor of x86-64-v{needed}, this one is {has}"),
        fix: "start it on a host with a newer processor".to_owned(),
        may_work: host.isa.is_none(),
    })
}

/// Numbers with dots between them.
pub fn dotted(numbers: &[u32]) -> String {
    let words: Vec<_> = numbers.iter().map(u32::to_string).collect();
    words.join(".")
}

/// The numbers at the beginning of a release such as `6.12.9-amd64`.
pub fn release(text: &str) -> [u32; 3] {
    let mut numbers = text
        .split(|letter: char| !letter.is_ascii_digit())
        .map_while(|part| part.parse().ok());
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostAbi {
        HostAbi {
            architecture: "x86_64".to_owned(),
            also: vec!["i686".to_owned()],
            emulated: vec!["riscv64".to_owned()],
            kernel: [6, 12, 9],
            isa: Some(3),
            vsyscall: Some(true),
        }
    }

    fn words(architecture: &str, abi: &Abi, host: &HostAbi) -> Vec<(String, bool)> {
        let found = check(architecture, abi, host);
        found
            .into_iter()
            .map(|finding| (finding.what, finding.may_work))
            .collect()
    }

    #[test]
    fn debian_from_8_on_has_nothing_to_fear() {
        for (glibc, kernel, systemd) in [
            ([2, 19], [2, 6, 32], 232),
            ([2, 36], [3, 2, 0], 252),
            ([2, 41], [3, 2, 0], 257),
        ] {
            let abi = Abi {
                glibc: Some(glibc),
                kernel: Some(kernel),
                systemd: Some(systemd),
                isa: Some(1),
                musl: false,
            };
            assert_eq!(check("x86_64", &abi, &host()), []);
        }
        assert_eq!(check("i686", &Abi::default(), &host()), []);
        assert_eq!(check("", &Abi::default(), &HostAbi::default()), []);
    }

    #[test]
    fn each_check_has_its_words() {
        let none = Abi::default();
        for (architecture, abi, host, says, may_work) in [
            (
                "aarch64",
                none.clone(),
                host(),
                "for aarch64, this host is x86_64",
                false,
            ),
            ("riscv64", none.clone(), host(), "an emulator", true),
            (
                "i686",
                none,
                HostAbi {
                    also: vec![],
                    ..host()
                },
                "for i686",
                false,
            ),
            (
                "x86_64",
                Abi {
                    kernel: Some([6, 13, 0]),
                    ..Abi::default()
                },
                host(),
                "needs Linux 6.13.0, this is 6.12.9",
                false,
            ),
            (
                "x86_64",
                Abi {
                    isa: Some(4),
                    ..Abi::default()
                },
                host(),
                "x86-64-v4, this one is x86-64-v3",
                false,
            ),
            (
                "x86_64",
                Abi {
                    isa: Some(2),
                    ..Abi::default()
                },
                HostAbi {
                    isa: None,
                    ..host()
                },
                "unknown level",
                true,
            ),
            (
                "x86_64",
                Abi {
                    glibc: Some([2, 12]),
                    ..Abi::default()
                },
                HostAbi {
                    vsyscall: Some(false),
                    ..host()
                },
                "does not have",
                false,
            ),
            (
                "x86_64",
                Abi {
                    glibc: Some([2, 12]),
                    ..Abi::default()
                },
                HostAbi {
                    vsyscall: None,
                    ..host()
                },
                "may not have",
                true,
            ),
            (
                "x86_64",
                Abi {
                    systemd: Some(219),
                    ..Abi::default()
                },
                host(),
                "about 219",
                true,
            ),
        ] {
            let found = words(architecture, &abi, &host);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].0.contains(says) && found[0].1 == may_work,
                "{found:?}"
            );
        }
    }

    #[test]
    fn an_old_library_of_another_architecture_needs_no_vsyscall() {
        let abi = Abi {
            glibc: Some([2, 12]),
            ..Abi::default()
        };
        let host = HostAbi {
            vsyscall: Some(false),
            ..host()
        };
        assert_eq!(check("i686", &abi, &host), []);
    }

    #[test]
    fn releases_of_kernels_are_numbers() {
        assert_eq!(release("6.12.9-amd64"), [6, 12, 9]);
        assert_eq!(release("6.18.44-fc-v669"), [6, 18, 44]);
        assert_eq!(release("5.4"), [5, 4, 0]);
        assert_eq!(release("x"), [0, 0, 0]);
    }
}
