//! Which filesets are private, before anybody asks who needs them.
//!
//! By the site's lists, by the private list, and by what they own: a kernel, modules, firmware or the
//! kernel of a boot loader makes a fileset private whatever its name is (third-party kernels). To own a
//! hook of those who make initial file systems does not: lvm2, plymouth and busybox have some.

use super::list;
use super::site::Site;
use crate::packages::{Family, Package, PackageDatabase, Relation};

/// Why a fileset is private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// In words for the administrator.
    pub(super) reason: String,
    /// Whether it belongs to the kernel or the boot.
    pub(super) of_boot: bool,
    /// The pattern of the private list that names it.
    pub(super) pattern: Option<&'static str>,
}

/// The mark of each package, in the order of the data base.
pub(super) fn marks(database: &PackageDatabase, site: &Site) -> Vec<Option<Mark>> {
    let packages = database.packages.iter();
    packages
        .map(|package| mark(database.family, package, site))
        .collect()
}

fn mark(family: Family, package: &Package, site: &Site) -> Option<Mark> {
    let name = &*package.name;
    if site.is_never_private(name) {
        return None;
    }
    if let Some(reason) = site.reason(name) {
        return Some(Mark {
            reason,
            of_boot: owns(package).is_some(),
            pattern: None,
        });
    }
    if list::is_never_private(family, name) {
        return None;
    }
    if let Some((group, pattern)) = list::find(family, name) {
        return Some(Mark {
            reason: group.reason.to_owned(),
            of_boot: group.of_boot,
            pattern: Some(pattern),
        });
    }
    let provided = || provides(package).map(|what| format!("kernel: it provides {what}"));
    let reason = owns(package).or_else(|| (family == Family::Rpm).then(provided)?)?;
    Some(Mark {
        of_boot: !reason.starts_with("firmware"),
        reason,
        pattern: None,
    })
}

/// What of kernel, firmware or boot loader the package owns.
fn owns(package: &Package) -> Option<String> {
    let shown = |what: &str, path: &[u8]| format!("{what}: it owns /{}", path.escape_ascii());
    for path in &package.paths {
        let what = structural(path);
        if let Some(what) = what {
            return Some(shown(what, path));
        }
    }
    let below = |path: &[u8]| within(path, b"lib/firmware/").is_some();
    if !package.paths.iter().any(|path| below(path)) {
        return None;
    }
    let all = leaves(&package.paths).count();
    let mut firmware = leaves(&package.paths).filter(|path| below(path));
    let first = firmware.next()?;
    (2 * (1 + firmware.count()) > all).then(|| shown("firmware", first))
}

/// What a path is that makes its owner private.
fn structural(path: &[u8]) -> Option<&'static str> {
    if path.starts_with(b"boot/vmlinuz") || path.starts_with(b"boot/vmlinux") {
        return Some("kernel");
    }
    if let Some(rest) = within(path, b"lib/modules/") {
        let mut parts = rest.splitn(2, |&byte| byte == b'/').skip(1);
        let is_module = [&b".ko"[..], b".ko.gz", b".ko.xz", b".ko.zst"]
            .iter()
            .any(|end| rest.ends_with(end));
        if is_module || parts.next() == Some(b"vmlinuz") {
            return Some("kernel");
        }
    }
    let is_grub = path.ends_with(b"/kernel.img") && within(path, b"lib/grub/").is_some();
    is_grub.then_some("boot loader")
}

/// What is behind `directory` in a path, with or without `usr/` before it.
fn within<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    let path = path.strip_prefix(b"usr/").unwrap_or(path);
    path.strip_prefix(directory)
}

/// The paths that are not directories of others. In a list, what is in a directory comes behind it.
pub(super) fn leaves(paths: &[Vec<u8>]) -> impl Iterator<Item = &Vec<u8>> {
    paths.iter().enumerate().filter_map(|(index, path)| {
        let next = paths.get(index + 1);
        let is_directory = next.is_some_and(|next| {
            let rest = next.strip_prefix(&path[..]);
            rest.is_some_and(|rest| rest.first() == Some(&b'/'))
        });
        (!is_directory).then_some(path)
    })
}

/// What an rpm provides that only kernels and their modules do.
fn provides(package: &Package) -> Option<&str> {
    let provided = package.dependencies.iter();
    provided
        .filter(|dependency| dependency.relation == Relation::Provides)
        .map(|dependency| dependency.on.split(' ').next().unwrap_or_default())
        .find(|on| {
            *on == "kernel" || on.starts_with("installonlypkg(kernel") || on.starts_with("kmod(")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::Dependency;

    fn package(name: &str, paths: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            ..Package::default()
        }
    }

    fn reason(family: Family, package: &Package) -> Option<String> {
        mark(family, package, &Site::default()).map(|mark| mark.reason)
    }

    #[test]
    fn what_a_fileset_owns_makes_it_private_whatever_its_name() {
        for (paths, expected) in [
            (
                &["boot", "boot/vmlinuz-6.1-site"][..],
                Some("kernel: it owns /boot/vmlinuz-6.1-site"),
            ),
            (
                &["lib/modules/6.1/extra/x.ko.xz"],
                Some("kernel: it owns /lib/modules/6.1/extra/x.ko.xz"),
            ),
            (
                &["usr/lib/modules/6.1/vmlinuz"],
                Some("kernel: it owns /usr/lib/modules/6.1/vmlinuz"),
            ),
            (
                &["usr/lib/grub/i386-pc/kernel.img"],
                Some("boot loader: it owns /usr/lib/grub/i386-pc/kernel.img"),
            ),
            (
                &[
                    "lib",
                    "lib/firmware",
                    "lib/firmware/a",
                    "lib/firmware/b",
                    "usr",
                    "usr/share/doc",
                ],
                Some("firmware: it owns /lib/firmware/a"),
            ),
            // One file of firmware in a tool does not make it firmware.
            (
                &[
                    "lib",
                    "lib/firmware",
                    "lib/firmware/a",
                    "usr",
                    "usr/bin",
                    "usr/bin/x",
                    "usr/bin/y",
                ],
                None,
            ),
            (
                &[
                    "usr/share/initramfs-tools/hooks/x",
                    "usr/lib/dracut/modules.d/90x/module-setup.sh",
                ],
                None,
            ),
            (&["usr/lib/modules-load.d/x.conf", "boot/readme"], None),
        ] {
            let found = reason(Family::Dpkg, &package("any", paths));
            assert_eq!(found.as_deref(), expected, "{paths:?}");
        }
    }

    #[test]
    fn what_an_rpm_provides_makes_it_private() {
        let provides = |on: &str| Package {
            dependencies: vec![Dependency {
                relation: Relation::Provides,
                on: on.to_owned(),
            }],
            ..package("any", &[])
        };
        assert!(reason(Family::Rpm, &provides("installonlypkg(kernel-module)")).is_some());
        assert!(reason(Family::Rpm, &provides("kmod(nvidia.ko)")).is_some());
        assert!(reason(Family::Rpm, &provides("kernel-headers = 6.1")).is_none());
        assert!(reason(Family::Dpkg, &provides("kernel")).is_none());
    }
}
