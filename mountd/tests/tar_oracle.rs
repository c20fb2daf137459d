//! Archives by other programs, seen through the layer, against their extraction by GNU tar as root.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use wpar_mountd::lower::LowerLayer;

mod tar_support;
use tar_support::{Comparison, Contents, extract, have, is_root, make_tree, open, run, scratch};

/// How an archive is made, and what can be expected of it.
struct Case {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    contents: Contents,
    exact_times: bool,
    holes: bool,
}

const fn gnu(name: &'static str, arguments: &'static [&'static str], contents: Contents) -> Case {
    Case {
        name,
        program: "tar",
        arguments,
        contents,
        exact_times: false,
        holes: false,
    }
}

const fn exact(case: Case) -> Case {
    Case {
        exact_times: true,
        ..case
    }
}

const fn holes(case: Case) -> Case {
    Case {
        holes: true,
        ..case
    }
}

const fn bsd(name: &'static str, arguments: &'static [&'static str], contents: Contents) -> Case {
    Case {
        name,
        program: "bsdtar",
        arguments,
        contents,
        exact_times: false,
        holes: false,
    }
}

const ATTRIBUTES: &[&str] = &[
    "--format=pax",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--numeric-owner",
    "--sparse",
];

const CASES: &[Case] = &[
    gnu("v7", &["--format=v7"], Contents::Old),
    gnu("ustar", &["--format=ustar"], Contents::Ustar),
    gnu("gnu", &["--format=gnu"], Contents::Long),
    gnu("oldgnu", &["--format=oldgnu"], Contents::Ustar),
    holes(gnu(
        "gnu-sparse",
        &["--format=gnu", "--sparse"],
        Contents::Long,
    )),
    gnu(
        "gnu-incremental",
        &["--format=gnu", "--incremental"],
        Contents::Long,
    ),
    exact(gnu("pax", &["--format=pax"], Contents::Long)),
    exact(holes(gnu(
        "pax-sparse-0.0",
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        Contents::Long,
    ))),
    exact(holes(gnu(
        "pax-sparse-0.1",
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        Contents::Long,
    ))),
    exact(holes(gnu(
        "pax-attributes",
        ATTRIBUTES,
        Contents::Attributes,
    ))),
    exact(gnu(
        "pax-acls-by-name",
        &["--format=pax", "--xattrs", "--xattrs-include=*", "--acls"],
        Contents::Attributes,
    )),
    exact(gnu(
        "pax-owner-option",
        &[
            "--format=pax",
            "--pax-option=globexthdr.name=g,mtime:=1000000000.5",
        ],
        Contents::Long,
    )),
    gnu(
        "gnu-reversed",
        &["--format=gnu", "--sort=name", "--no-recursion"],
        Contents::Old,
    ),
    bsd("bsd-ustar", &["--format=ustar"], Contents::Ustar),
    bsd("bsd-gnu", &["--format=gnutar"], Contents::Ustar),
    exact(bsd(
        "bsd-pax",
        &["--format=pax", "--xattrs", "--acls"],
        Contents::Attributes,
    )),
    bsd("bsd-restricted-pax", &["--format=paxr"], Contents::Ustar),
];

fn archive(case: &Case, root: &Path, image: &Path) {
    let mut arguments: Vec<&str> = vec!["-cf", image.to_str().unwrap()];
    arguments.extend(case.arguments);
    arguments.extend(["-C", root.to_str().unwrap()]);
    if case.name == "gnu-reversed" {
        // Names without their directories.
        arguments.extend([
            "etc/passwd",
            "deep/er/and/deeper",
            "bin/su",
            "etc",
            "etc/su3",
            "bin",
        ]);
    } else {
        arguments.push(".");
    }
    run(case.program, arguments);
}

#[test]
fn everything_is_as_gnu_tar_extracts_it() {
    if !is_root() || !have("setfacl") {
        return;
    }
    for case in CASES {
        if !have(case.program) {
            continue;
        }
        let (directory, image) = scratch("image.tar");
        let (source, target) = (
            directory.path().join("source"),
            directory.path().join("target"),
        );
        fs::create_dir(&source).unwrap();
        make_tree(&source, case.contents);
        archive(case, &source, &image);
        extract(&image, &target);
        if case.program == "bsdtar" {
            directory_times(&source, &target);
        }
        let layer = open(&image).unwrap();
        eprintln!("{}: {:?}", case.name, layer.index().warnings());
        if case.name == "gnu-reversed" {
            // Directories that tar makes up have the time of the extraction.
            fs::File::open(&target)
                .unwrap()
                .set_modified(image_time(&image))
                .unwrap();
            fs::File::open(target.join("deep"))
                .unwrap()
                .set_modified(image_time(&image))
                .unwrap();
            for made_up in ["deep/er", "deep/er/and"] {
                let made_up = fs::File::open(target.join(made_up)).unwrap();
                made_up.set_modified(image_time(&image)).unwrap();
            }
        }
        let objects = Comparison::new(&layer, case.exact_times, case.holes).run(&target);
        assert!(objects >= 8, "{}: {objects}", case.name);
        assert_eq!(
            layer.index().warnings(),
            Vec::<String>::new(),
            "{}",
            case.name
        );
        assert_eq!(layer.index().verify(), Ok(()));
        assert_eq!(
            layer.index().carries_xattrs(),
            case.contents == Contents::Attributes
        );
    }
}

/// GNU tar loses the time of a directory that gets another hard link after it was left, and
/// bsdtar's order of entries makes that happen: what it should be is seen in the source.
fn directory_times(source: &Path, target: &Path) {
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            directory_times(&entry.path(), &target.join(entry.file_name()));
        }
    }
    let time = fs::metadata(source).unwrap().modified().unwrap();
    fs::File::open(target).unwrap().set_modified(time).unwrap();
}

fn image_time(image: &Path) -> std::time::SystemTime {
    fs::metadata(image).unwrap().modified().unwrap()
}

#[test]
fn archives_of_pythons_tarfile() {
    if !is_root() || !have("python3") {
        return;
    }
    for (format, exact) in [("USTAR", false), ("GNU", false), ("PAX", true)] {
        let (directory, image) = scratch("image.tar");
        let (source, target) = (
            directory.path().join("source"),
            directory.path().join("target"),
        );
        fs::create_dir(&source).unwrap();
        let contents = if format == "USTAR" {
            Contents::Ustar
        } else {
            Contents::Long
        };
        make_tree(&source, contents);
        let script = format!(
            "import tarfile, sys\n\
             with tarfile.open(sys.argv[1], 'w', format=tarfile.{format}_FORMAT) as archive:\n \
             archive.add(sys.argv[2], '.')\n"
        );
        run(
            "python3",
            [
                "-c",
                &script,
                image.to_str().unwrap(),
                source.to_str().unwrap(),
            ],
        );
        extract(&image, &target);
        let layer = open(&image).unwrap();
        Comparison::new(&layer, exact, false).run(&target);
        assert_eq!(layer.index().warnings(), Vec::<String>::new(), "{format}");
    }
}

#[test]
fn appended_and_deleted_members_are_as_gnu_tar_extracts_them() {
    if !is_root() {
        return;
    }
    let (directory, image) = scratch("image.tar");
    tar_support::shell(
        directory.path(),
        "mkdir s; cd s; mkdir d e f; echo 1 >a; echo 2 >d/b; ln a hard; ln -s d link
         tar -cf ../image.tar .
         echo longer >a; rm d/b; rmdir e; echo file >e; rm hard; ln d/../a hard2; chmod 700 f
         tar -rf ../image.tar ./a ./e ./f ./hard2
         rm a; mkdir a; echo in >a/in
         tar -rf ../image.tar a",
    );
    let target = directory.path().join("target");
    extract(&image, &target);
    let layer = open(&image).unwrap();
    Comparison::new(&layer, false, false).run(&target);
}

#[test]
fn entries_below_links_land_where_gnu_tar_puts_them() {
    if !is_root() {
        return;
    }
    let (directory, image) = scratch("image.tar");
    tar_support::shell(
        directory.path(),
        "mkdir -p one/usr/lib/deep two/lib/deep two/all/there three/lib
         echo 1 >one/usr/lib/first; ln -s usr/lib one/lib; ln -s lib/deep one/all
         echo 2 >two/lib/second; echo 3 >two/all/there/third; echo 4 >two/lib/deep/fourth
         ln two/lib/second two/lib/linked
         tar -cf image.tar -C one usr lib all
         tar -rf image.tar -C two lib/second lib/linked lib/deep/fourth all/there/third
         chmod 700 three/lib; echo 5 >three/lib/fifth; ln -s one three/gone
         tar -rf image.tar -C three lib/fifth gone",
    );
    let root = directory.path().join("root");
    extract(&image, &root);
    let layer = open(&image).unwrap();
    assert_eq!(layer.index().warnings(), [""; 0]);
    // Directories that the archive does not describe have the time of their making.
    for path in [
        "root",
        "root/usr/lib/deep/there",
        "root/usr/lib/deep",
        "root/usr/lib",
    ] {
        let name = path.trim_start_matches("root").trim_start_matches('/');
        let node = tar_support::resolve(&layer, name).unwrap();
        let time = layer.attr(node).unwrap().mtime.seconds;
        tar_support::shell(directory.path(), &format!("touch -d @{time} {path}"));
    }
    assert!(Comparison::new(&layer, false, false).run(&root) > 10);
}
