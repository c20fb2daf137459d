//! How archives are made, and how the same program takes them apart with all it can restore.

use crate::source::HUGE;

/// A program that makes archives and extracts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Gnu,
    Bsd,
    Python,
    Busybox,
    /// Relax-and-Recover: GNU tar with the options of its own.
    Rear,
    Mmdebstrap,
    Dpkg,
    Git,
    Cpio,
    /// The `tar` crate of Rust.
    Rust,
}

impl Tool {
    /// Programs that must be there to make archives and to extract them.
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Gnu | Self::Rear => &["tar"],
            Self::Bsd => &["bsdtar"],
            Self::Python => &["python3"],
            Self::Busybox => &["busybox"],
            Self::Mmdebstrap => &["mmdebstrap", "tar"],
            Self::Dpkg => &["dpkg-deb"],
            Self::Git => &["git", "tar"],
            Self::Cpio => &["cpio"],
            Self::Rust => &[],
        }
    }

    /// The lines of shell that extract `$IN` into the empty directory `$DST`, as root, with all that the
    /// program can restore. `None` for the Rust crate, which is no program.
    pub fn extraction(self) -> Option<&'static str> {
        Some(match self {
            Self::Gnu | Self::Git => GNU_EXTRACTION,
            Self::Bsd => "bsdtar --numeric-owner --xattrs --acls --fflags -xpf $IN -C $DST",
            Self::Python => {
                "python3 -c 'import sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    archive.extraction_filter = staticmethod(lambda member, path: member)
    archive.extractall(sys.argv[2], numeric_owner=True)' $IN $DST"
            }
            Self::Busybox => "busybox tar --numeric-owner -xpf $IN -C $DST",
            // usr/share/rear/restore/NETFS/default/400_restore_backup.sh and prep/default/
            // 310_include_cap_utils.sh, 310_include_xattr_utils.sh of ReaR 2.7
            Self::Rear => {
                "tar --block-number --totals --verbose --anchored --xattrs \
                 --xattrs-include=security.capability --xattrs-include=security.selinux --acls \
                 --gzip -C $DST -x -f - <$IN"
            }
            // What its manual page says about using the result
            Self::Mmdebstrap => {
                "tar --xattrs --xattrs-include='*' --numeric-owner -xpf $IN -C $DST"
            }
            Self::Dpkg => "tar --numeric-owner -xpf $IN -C $DST",
            Self::Cpio => "cd $DST; cpio --quiet -idm --numeric-uid-gid <$IN",
            Self::Rust => return None,
        })
    }
}

/// GNU tar with all that it can restore.
pub const GNU_EXTRACTION: &str =
    "tar --xattrs --xattrs-include='*' --acls --numeric-owner -xpf $IN -C $DST";

/// One way to make an archive.
pub struct Way {
    pub name: &'static str,
    pub tool: Tool,
    /// Lines of shell that make `$OUT` of the tree in `$SRC`. A complaint about a file that the format
    /// cannot hold is no failure: then the extraction does not have it either.
    pub make: &'static str,
    /// Names of the tree that this way gives up at, or that would take gigabytes.
    pub without: &'static [&'static str],
    /// Whether it is tried in every run.
    pub short: bool,
}

const fn way(name: &'static str, tool: Tool, make: &'static str) -> Way {
    Way {
        name,
        tool,
        make,
        without: &[],
        short: false,
    }
}

const fn full(name: &'static str, tool: Tool, make: &'static str) -> Way {
    Way {
        without: HUGE,
        ..way(name, tool, make)
    }
}

const fn short(way: Way) -> Way {
    Way { short: true, ..way }
}

/// busybox writes longer names than it reads back.
const BUSYBOX: &[&str] = &[
    "sparse/huge-hole",
    "sparse/huge-end",
    "deep-directory",
    "links/to-4095",
];

macro_rules! python {
    ($format:literal) => {
        concat!(
            "python3 -c 'import os, sys, tarfile
with tarfile.open(sys.argv[1], \"w\", format=tarfile.",
            $format,
            "_FORMAT) as archive:
    def add(path, name):
        try: archive.add(path, name, recursive=False)
        except ValueError as error: return
        if os.path.isdir(path) and not os.path.islink(path):
            for below in sorted(os.listdir(path)): add(path + os.sep + below, name + os.sep + below)
    add(sys.argv[2], \".\")' $OUT $SRC"
        )
    };
}

/// All of them.
pub const WAYS: &[Way] = &[
    // GNU tar: its formats.
    full("gnu-v7", Tool::Gnu, "tar --format=v7 -cf $OUT -C $SRC ."),
    full("gnu-ustar", Tool::Gnu, "tar --format=ustar -cf $OUT -C $SRC ."),
    full("gnu-oldgnu", Tool::Gnu, "tar --format=oldgnu -cf $OUT -C $SRC ."),
    way("gnu-oldgnu-sparse", Tool::Gnu, "tar --format=oldgnu -S -cf $OUT -C $SRC ."),
    full("gnu-gnu", Tool::Gnu, "tar --format=gnu -cf $OUT -C $SRC ."),
    short(way("gnu-gnu-sparse", Tool::Gnu, "tar --format=gnu -S -cf $OUT -C $SRC .")),
    full("gnu-posix", Tool::Gnu, "tar --format=posix -cf $OUT -C $SRC ."),
    way("gnu-posix-sparse-0.0", Tool::Gnu,
        "tar --format=posix -S --sparse-version=0.0 -cf $OUT -C $SRC ."),
    way("gnu-posix-sparse-0.1", Tool::Gnu,
        "tar --format=posix -S --sparse-version=0.1 -cf $OUT -C $SRC ."),
    way("gnu-posix-sparse-1.0", Tool::Gnu,
        "tar --format=posix -S --sparse-version=1.0 -cf $OUT -C $SRC ."),
    way("gnu-posix-sparse-raw", Tool::Gnu,
        "tar --format=posix -S --hole-detection=raw --exclude=./sparse/huge* -cf $OUT -C $SRC ."),
    // Attributes.
    short(way("gnu-all", Tool::Gnu,
        "tar --xattrs --xattrs-include='*' --acls --selinux -S -cf $OUT -C $SRC .")),
    way("gnu-xattrs-only", Tool::Gnu, "tar --xattrs --xattrs-include='*' -S -cf $OUT -C $SRC ."),
    way("gnu-acls-only", Tool::Gnu, "tar --acls -S -cf $OUT -C $SRC ."),
    way("gnu-acls-numeric", Tool::Gnu, "tar --acls --numeric-owner -S -cf $OUT -C $SRC ."),
    way("gnu-user-xattrs", Tool::Gnu, "tar --xattrs -S -cf $OUT -C $SRC ."),
    // Which names, and in which order.
    way("gnu-no-dot", Tool::Gnu, "cd $SRC; tar -S -cf $OUT -- *"),
    way("gnu-absolute", Tool::Gnu, "tar -S -P --transform=s,^$SRC,/, -cf $OUT $SRC"),
    way("gnu-sorted", Tool::Gnu, "tar -S --sort=name -cf $OUT -C $SRC ."),
    way("gnu-by-inode", Tool::Gnu, "tar -S --sort=inode -cf $OUT -C $SRC ."),
    short(way("gnu-no-directories", Tool::Gnu,
        "cd $SRC; find . ! -type d -print0 | tar -S --null --no-recursion -T - -cf $OUT")),
    way("gnu-depth-first", Tool::Gnu,
        "cd $SRC; find . -depth -print0 | tar -S --null --no-recursion -T - -cf $OUT"),
    way("gnu-twice", Tool::Gnu, "tar -S -cf $OUT -C $SRC . .; tar -S -rf $OUT -C $SRC etc"),
    // Increments, labels, blocks, records for all.
    way("gnu-incremental", Tool::Gnu, "tar --format=gnu -S -g $TMP/snapshot -cf $OUT -C $SRC ."),
    way("gnu-incremental-posix", Tool::Gnu,
        "tar --format=posix -S -g $TMP/snapshot2 -cf $OUT -C $SRC ."),
    way("gnu-label", Tool::Gnu, "tar --format=gnu -S -V 'a label' -cf $OUT -C $SRC ."),
    way("gnu-label-posix", Tool::Gnu, "tar --format=posix -S -V 'a label' -cf $OUT -C $SRC ."),
    way("gnu-label-oldgnu", Tool::Gnu, "tar --format=oldgnu -S -V 'a label' -cf $OUT -C $SRC ."),
    way("gnu-blocks", Tool::Gnu, "tar -S -b 1 -cf $OUT -C $SRC ."),
    way("gnu-large-blocks", Tool::Gnu, "tar -S -b 2000 -cf $OUT -C $SRC ."),
    way("gnu-pax-options", Tool::Gnu,
        "tar --format=posix -S --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' \
         -cf $OUT -C $SRC ."),
    way("gnu-pax-global", Tool::Gnu,
        "tar --format=posix -S --pax-option='comment=all,mtime=1000000000.5,mtime:=99.25' -cf $OUT -C $SRC ."),
    way("gnu-mtime", Tool::Gnu, "tar -S --mtime=@-1.5 --format=posix -cf $OUT -C $SRC ."),
    way("gnu-no-hard-links", Tool::Gnu, "tar -S --hard-dereference -cf $OUT -C $SRC ."),
    way("gnu-concatenated", Tool::Gnu,
        "tar -S -cf $OUT -C $SRC etc odd; tar -S -cf $TMP/second -C $SRC links modes; tar -A -f $OUT $TMP/second"),
    way("gnu-deleted", Tool::Gnu,
        "tar -S -cf $OUT -C $SRC .; tar --delete -f $OUT ./odd ./sizes"),
    // Relax-and-Recover 2.7, usr/share/rear/backup/NETFS/default/500_make_backup.sh.
    short(way("rear", Tool::Rear,
        "cd $SRC; tar --warning=no-xdev --sparse --block-number --totals --verbose \
         --no-wildcards-match-slash --one-file-system --ignore-failed-read --anchored --xattrs \
         --xattrs-include=security.capability --xattrs-include=security.selinux --acls --gzip \
         -C $SRC -c -f $OUT -- *")),
    // libarchive.
    full("bsd-v7", Tool::Bsd, "bsdtar --format=v7 -cf $OUT -C $SRC ."),
    full("bsd-ustar", Tool::Bsd, "bsdtar --format=ustar -cf $OUT -C $SRC ."),
    full("bsd-gnutar", Tool::Bsd, "bsdtar --format=gnutar -cf $OUT -C $SRC ."),
    way("bsd-restricted-pax", Tool::Bsd, "bsdtar --format=paxr -cf $OUT -C $SRC ."),
    short(way("bsd-pax", Tool::Bsd, "bsdtar --format=pax --xattrs --acls --fflags -cf $OUT -C $SRC .")),
    way("bsd-pax-libarchive", Tool::Bsd,
        "bsdtar --format=pax --options pax:xattrheader=LIBARCHIVE --xattrs --acls -cf $OUT -C $SRC ."),
    way("bsd-pax-schily", Tool::Bsd,
        "bsdtar --format=pax --options pax:xattrheader=SCHILY --xattrs --acls -cf $OUT -C $SRC ."),
    way("bsd-pax-numeric", Tool::Bsd,
        "bsdtar --format=pax --numeric-owner --xattrs --acls -cf $OUT -C $SRC ."),
    way("bsd-pax-none", Tool::Bsd, "bsdtar --format=pax --no-xattrs --no-acls -cf $OUT -C $SRC ."),
    full("bsd-pax-dense", Tool::Bsd, "bsdtar --format=pax --no-read-sparse -cf $OUT -C $SRC ."),
    way("bsd-pax-binary", Tool::Bsd,
        "bsdtar --format=pax --options hdrcharset=BINARY -cf $OUT -C $SRC ."),
    way("bsd-no-dot", Tool::Bsd, "cd $SRC; bsdtar --format=pax -cf $OUT -- *"),
    way("bsd-of-gnu", Tool::Bsd,
        "tar -S --format=gnu --exclude=./sparse -cf $TMP/gnu.tar -C $SRC .; bsdtar --format=pax -cf $OUT @$TMP/gnu.tar"),
    // Python.
    full("python-ustar", Tool::Python, python!("USTAR")),
    full("python-gnu", Tool::Python, python!("GNU")),
    short(full("python-pax", Tool::Python, python!("PAX"))),
    short(Way {
        without: BUSYBOX,
        ..way("busybox", Tool::Busybox, "busybox tar -cf $OUT -C $SRC .")
    }),
    Way {
        without: BUSYBOX,
        ..way("busybox-no-dot", Tool::Busybox, "cd $SRC; busybox tar -cf $OUT -- *")
    },
    // What makes system images and packages.
    full("mmdebstrap", Tool::Mmdebstrap,
        "mmdebstrap --quiet --mode=root --format=tar --variant=custom --skip=update,check/empty,cleanup/apt \
         --setup-hook='cp -a '$SRC'/. \"$1\"' \
         '' $OUT 'deb [trusted=yes] copy:'$TMP'/none ./'"),
    full("mmdebstrap-options", Tool::Mmdebstrap,
        "tar --sort=name --xattrs --xattrs-include='*' --one-file-system --format=pax \
         --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime --exclude=./dev \
         --numeric-owner -cf $OUT -C $SRC ."),
    full("dpkg", Tool::Dpkg,
        "mkdir -p $TMP/deb/DEBIAN; cp -a $SRC/. $TMP/deb
         printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@y>\\nDescription: x\\n' \
         >$TMP/deb/DEBIAN/control; dpkg-deb --nocheck -Znone -b $TMP/deb $TMP/x.deb >/dev/null
         dpkg-deb --fsys-tarfile $TMP/x.deb >$OUT"),
    way("git", Tool::Git,
        "mkdir $TMP/git; cd $TMP/git; git init -q .; cp -a $SRC/odd $SRC/sizes $SRC/lengths .
         git add -A; git -c user.name=x -c user.email=x@y commit -qm x; git archive --format=tar HEAD >$OUT"),
    full("cpio-ustar", Tool::Cpio, "cd $SRC; find . -print0 | cpio --quiet -0 -o -H ustar >$OUT"),
    full("cpio-tar", Tool::Cpio, "cd $SRC; find . -print0 | cpio --quiet -0 -o -H tar >$OUT"),
    full("rust", Tool::Rust, ""),
];
