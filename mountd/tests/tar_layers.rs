//! Container images: their layers over one another, chosen, checked and refused.
//!
//! All images are made here; `tar_layers_tools.rs` has those of real programs.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use wpar_mountd::lower::tar::{ArchiveKind, ImageError, Silent, TarLower, ensure_index};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::FileKind;

mod container_support;
mod tar_support;
use container_support::{
    LayerTar, Packing, descriptor, docker_archive, listing, oci_layout, pack, sha256, write_blob,
};
use tar_support::{contents, have, open, resolve, scratch, shell};

fn base() -> LayerTar {
    LayerTar::new()
        .directory("bin")
        .file("bin/sh", "shell")
        .directory("d")
        .file("d/one", "1")
        .file("d/two", "2")
        .directory("d/sub")
        .file("d/sub/deep", "3")
        .file("f", "file")
        .directory("usr")
        .directory("usr/lib")
        .symlink("lib", "usr/lib")
        .symlink("abs", "/usr/lib")
        .file("lib/through", "a link")
}

/// What the image of these layers shows, in every form that it can have.
fn show(layers: &[LayerTar]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let tars: Vec<Vec<u8>> = layers.iter().map(LayerTar::finish).collect();
    docker_archive(&at("docker.tar"), &tars, &["some/image:1"], Packing::Plain);
    docker_archive(&at("packed.tar"), &tars, &["some/image:1"], Packing::Gzip);
    oci_layout(&at("oci"), &tars, Packing::Gzip);
    oci_layout(&at("oci-zstd"), &tars, Packing::Zstd);
    oci_layout(&at("oci-plain"), &tars, Packing::Plain);
    shell(
        directory.path(),
        "tar -cf oci.tar -C oci . ; tar -cf oci-plain.tar -C oci-plain .
         gzip -k docker.tar oci.tar packed.tar",
    );
    let mut forms = vec![
        "docker.tar",
        "packed.tar",
        "oci",
        "oci-zstd",
        "oci-plain",
        "oci.tar",
        "oci-plain.tar",
        "docker.tar.gz",
        "oci.tar.gz",
        "packed.tar.gz",
    ];
    if have("zstd") {
        shell(directory.path(), "zstd -q docker.tar; zstd -q oci.tar");
        forms.extend(["docker.tar.zst", "oci.tar.zst"]);
    }
    let mut shown: Option<Vec<String>> = None;
    for form in forms {
        let layer = open(&at(form)).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(layer.index().verify(), Ok(()));
        assert_eq!(layer.index().kind(), ArchiveKind::Layers, "{form}");
        let found = listing(&layer);
        match &shown {
            None => shown = Some(found),
            Some(shown) => assert_eq!(&found, shown, "{form}"),
        }
        for (path, node) in container_support::nodes(&layer) {
            let mut up = node;
            while let Some((parent, _)) = layer.location(up).unwrap() {
                up = parent;
            }
            assert_eq!(up, LowerNode::ROOT, "{form}: {path}");
        }
    }
    shown.unwrap()
}

#[test]
fn a_layer_hides_and_replaces_what_is_below_wherever_its_whiteouts_stand() {
    let upper: Vec<(&str, LayerTar, &[&str])> = vec![
        (
            "a file is taken away, another comes",
            LayerTar::new().file("d/.wh.one", "").file("d/new", "n"),
            &["d/", "d/new=n", "d/sub/", "d/sub/deep=3", "d/two=2"],
        ),
        (
            "a directory is taken away",
            LayerTar::new().file(".wh.d", ""),
            &[],
        ),
        (
            "a directory is opaque, and has an entry of its own before or behind",
            LayerTar::new()
                .file("d/new", "n")
                .directory("d")
                .file("d/.wh..wh..opq", ""),
            &["d/", "d/new=n"],
        ),
        (
            "what a layer brings is not hidden by its own whiteout",
            LayerTar::new()
                .directory("d")
                .file("d/one", "other")
                .file("d/.wh.one", "")
                .file("d/.wh.two", ""),
            &["d/", "d/one=other", "d/sub/", "d/sub/deep=3"],
        ),
        (
            "a directory is taken away and made anew",
            LayerTar::new()
                .directory("d")
                .file("d/new", "n")
                .file(".wh.d", ""),
            &["d/", "d/new=n"],
        ),
        (
            "a directory without an entry keeps what a layer brings",
            LayerTar::new().file("d/sub/new", "n").file(".wh.d", ""),
            &["d/", "d/sub/", "d/sub/new=n"],
        ),
        (
            "a directory becomes a file",
            LayerTar::new().file("d", "now a file"),
            &["d=now a file"],
        ),
        (
            "a directory becomes a link, and nothing of it shows",
            LayerTar::new().symlink("d", "usr"),
            &["d -> usr"],
        ),
        (
            "a whiteout of what is not there",
            LayerTar::new().file("d/.wh.none", "").file("no/.wh.x", ""),
            &["d/", "d/one=1", "d/sub/", "d/sub/deep=3", "d/two=2"],
        ),
        (
            "marks of AUFS",
            LayerTar::new()
                .file(".wh..wh.aufs", "")
                .directory(".wh..wh.plnk")
                .file(".wh..wh.plnk/1.2", "x")
                .file("d/.wh.sub", ""),
            &["d/", "d/one=1", "d/two=2"],
        ),
        (
            "a hard link to a file of a lower layer, which is hidden then",
            LayerTar::new()
                .hard_link("d/three", "d/one")
                .file("d/.wh.one", ""),
            &["d/", "d/sub/", "d/sub/deep=3", "d/three=1", "d/two=2"],
        ),
    ];
    for (what, layer, expected) in upper {
        let orders = [layer.clone(), layer.reversed()];
        for layer in orders {
            let shown = show(&[base(), layer]);
            let below: Vec<&String> = shown
                .iter()
                .filter(|line| {
                    let name = line.split(['/', '=', ' ']).next().unwrap();
                    name == "d"
                })
                .collect();
            assert_eq!(below, expected, "{what}");
            assert!(shown.iter().all(|line| !line.contains(".wh.")), "{what}");
        }
    }
}

#[test]
fn entries_below_links_land_where_the_links_lead() {
    let upper = LayerTar::new()
        .file("lib/new", "n")
        .file("abs/other", "o")
        .file("lib/.wh.through", "");
    let shown = show(&[base(), upper]);
    let expected = [
        "abs -> /usr/lib",
        "bin/",
        "bin/sh=shell",
        "d/",
        "d/one=1",
        "d/sub/",
        "d/sub/deep=3",
        "d/two=2",
        "f=file",
        "lib -> usr/lib",
        "usr/",
        "usr/lib/",
        "usr/lib/new=n",
        "usr/lib/other=o",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn names_that_come_back_in_a_third_layer_are_new() {
    let layers = [
        base(),
        LayerTar::new().file(".wh.d", "").file(".wh.f", ""),
        LayerTar::new().file("d/back", "b").directory("f"),
    ];
    let shown = show(&layers);
    let found: Vec<&String> = shown
        .iter()
        .filter(|line| line.starts_with('d') || line.starts_with('f'))
        .collect();
    assert_eq!(found, ["d/", "d/back=b", "f/"]);
}

#[test]
fn a_whiteout_of_nothing_is_refused() {
    for name in [".wh.", "d/.wh.", ".wh..", ".wh..."] {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image.tar");
        let upper = LayerTar::new().file(name, "").finish();
        docker_archive(&image, &[base().finish(), upper], &["x:1"], Packing::Plain);
        let error = open(&image).unwrap_err();
        assert!(
            matches!(error, ImageError::Corrupt { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains("names nothing"), "{error}");
        assert!(error.to_string().contains(", layer "), "{error}");
    }
}

#[test]
fn a_whiteout_in_an_archive_that_is_no_layer_is_a_file() {
    let (_directory, image) = scratch("image.tar");
    let archive = LayerTar::new().file("a", "x").file(".wh.a", "y").finish();
    fs::write(&image, archive).unwrap();
    let layer = open(&image).unwrap();
    assert_eq!(listing(&layer), [".wh.a=y", "a=x"]);
    assert_eq!(layer.index().kind(), ArchiveKind::Tar);
}

#[test]
fn a_system_with_a_manifest_of_something_else_is_a_system() {
    for text in ["{}", "[]", "[{\"name\": \"app\"}]", "not json", ""] {
        let (_directory, image) = scratch("image.tar");
        let archive = base().file("manifest.json", text).file("oci-layout", "x");
        fs::write(&image, archive.finish()).unwrap();
        let layer = open(&image).unwrap();
        assert_eq!(layer.index().kind(), ArchiveKind::Tar, "{text}");
        assert_eq!(contents(&layer, "manifest.json"), text.as_bytes());
    }
}

/// The refusal of an image.
fn refusal(image: &Path) -> String {
    let error = open(image).unwrap_err();
    assert!(matches!(error, ImageError::Unusable { .. }), "{error}");
    error.to_string()
}

fn named(image: &Path, name: &str) -> PathBuf {
    format!("{}#{name}", image.display()).into()
}

#[test]
fn one_of_several_images_is_chosen_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("images.tar");
    let one = LayerTar::new().file("one", "1").finish();
    let two = LayerTar::new().file("two", "2").finish();
    let entry = |config: &str, tags: &[&str], layer: &str| serde_json::json!({"Config": config, "RepoTags": tags, "Layers": [layer]});
    let manifest = serde_json::json!([
        entry(
            "one.json",
            &["docker.io/library/one:1", "one:latest"],
            "one.tar"
        ),
        entry("two.json", &["two:2"], "two.tar"),
    ]);
    let archive = LayerTar::new()
        .bytes("one.tar", &one)
        .bytes("two.tar", &two)
        .file("one.json", "{\"os\":\"linux\",\"architecture\":\"amd64\"}")
        .file("two.json", "{\"os\":\"linux\",\"architecture\":\"amd64\"}")
        .file("manifest.json", &manifest.to_string());
    fs::write(&image, archive.finish()).unwrap();
    let text = refusal(&image);
    assert!(
        text.contains("several container images: docker.io/library/one:1, one:latest, two:2"),
        "{text}"
    );
    let example = format!("\"{}#docker.io/library/one:1\"", image.display());
    assert!(text.contains(&example), "{text}");
    for (name, file) in [
        ("docker.io/library/one:1", "one"),
        ("library/one:1", "one"),
        ("latest", "one"),
        ("two:2", "two"),
        ("2", "two"),
    ] {
        let report = ensure_index(&named(&image, name), directory.path(), &mut Silent).unwrap();
        let layer = TarLower::open(&named(&image, name), &report.path).unwrap();
        assert!(resolve(&layer, file).is_some(), "{name}");
        assert_eq!(report.path.parent().unwrap(), directory.path(), "{name}");
    }
    let text = refusal(&named(&image, "three"));
    assert!(
        text.contains("called \"three\": it has docker.io"),
        "{text}"
    );
    // And of one system there is nothing to choose.
    let plain = directory.path().join("plain.tar");
    fs::write(&plain, one).unwrap();
    assert!(refusal(&named(&plain, "x")).contains("it is one system"));
}

#[test]
fn the_image_for_this_machine_is_chosen() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let here = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        _ => return eprintln!("SKIPPED: the name of this machine is not known to the test"),
    };
    let mut manifests = Vec::new();
    for architecture in ["mips64le", here, "s390x"] {
        let layer = LayerTar::new().file(architecture, "x").finish();
        let manifest = container_support::manifest(root, &[layer], Packing::Gzip, architecture);
        let mut found = descriptor(&manifest);
        found["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
        manifests.push(found);
    }
    let mut statement = descriptor(b"{}");
    statement["platform"] = serde_json::json!({"os": "unknown", "architecture": "unknown"});
    manifests.push(statement);
    let index = serde_json::json!({"schemaVersion": 2, "manifests": manifests}).to_string();
    fs::write(
        root.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )
    .unwrap();
    // Directly, and by an index of their own.
    write_blob(root, index.as_bytes());
    let nested = serde_json::json!({"manifests": [descriptor(index.as_bytes())]}).to_string();
    for text in [index, nested] {
        fs::write(root.join("index.json"), text).unwrap();
        let layer = open(root).unwrap();
        assert_eq!(listing(&layer), [format!("{here}=x")]);
        let notes = layer.index().notes().join("\n");
        assert!(notes.contains(&format!("linux/{here}, 1 layer")), "{notes}");
        assert!(layer.index().warnings().is_empty());
    }
    // If there is no other, one for another machine can be looked into.
    let only = serde_json::json!({"manifests": [manifests[0]]}).to_string();
    fs::write(root.join("index.json"), only).unwrap();
    let layer = open(root).unwrap();
    assert_eq!(listing(&layer), ["mips64le=x"]);
    let warnings = layer.index().warnings().join("\n");
    assert!(warnings.contains("do not run here"), "{warnings}");
    let others = serde_json::json!({"manifests": [manifests[0], manifests[2]]}).to_string();
    fs::write(root.join("index.json"), others).unwrap();
    let text = refusal(root);
    assert!(text.contains("(linux/mips64le, linux/s390x)"), "{text}");
}

#[test]
fn what_is_missing_or_not_what_its_digest_says_is_told() {
    let make = |root: &Path| {
        oci_layout(
            root,
            &[base().finish(), LayerTar::new().file("x", "y").finish()],
            Packing::Gzip,
        );
        let mut blobs: Vec<PathBuf> = fs::read_dir(root.join("blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        blobs.sort();
        blobs
    };
    let (_directory, root) = scratch("oci");
    let count = make(&root).len();
    assert_eq!(count, 4, "two layers, a configuration, a manifest");
    for number in 0..count {
        let (_directory, root) = scratch("oci");
        let blobs = make(&root);
        let bytes = fs::read(&blobs[number]).unwrap();
        let is_json = bytes.starts_with(b"{");
        fs::remove_file(&blobs[number]).unwrap();
        let text = refusal(&root);
        assert!(text.contains("it has no file \"blobs/sha256/"), "{text}");
        // The same length, other bytes, that can be decoded as well.
        let mut other = bytes.clone();
        let at = if is_json { other.len() - 2 } else { 4 };
        other[at] ^= 1;
        fs::write(&blobs[number], &other).unwrap();
        let error = open(&root).unwrap_err().to_string();
        let expected = if is_json {
            "are not what its name says"
        } else {
            "do not have the digest that the manifest gives"
        };
        assert!(error.contains(expected), "{error}");
        fs::write(&blobs[number], [&bytes[..], b"x"].concat()).unwrap();
        let error = open(&root).unwrap_err().to_string();
        assert!(
            error.contains("its manifest says another number") || is_json,
            "{error}"
        );
        fs::write(&blobs[number], &bytes).unwrap();
        open(&root).unwrap();
    }
}

#[test]
fn a_layer_that_changes_after_it_was_indexed_is_noticed() {
    let (_directory, root) = scratch("oci");
    let layer = base().finish();
    oci_layout(&root, std::slice::from_ref(&layer), Packing::Plain);
    let cache = root.parent().unwrap();
    let report = ensure_index(&root, cache, &mut Silent).unwrap();
    assert_eq!(report.path, cache.join("oci.wparidx"));
    assert!(!ensure_index(&root, cache, &mut Silent).unwrap().built);
    // With a slash at its end it is the same one.
    let slash = PathBuf::from(format!("{}/", root.display()));
    assert!(!ensure_index(&slash, cache, &mut Silent).unwrap().built);
    let blob = root.join(format!("blobs/sha256/{}", sha256(&layer)));
    let mut bytes = layer;
    bytes[600] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let error = TarLower::open(&root, &report.path).unwrap_err();
    assert!(matches!(error, ImageError::Changed { .. }), "{error}");
    assert!(error.to_string().contains("blobs/sha256"), "{error}");
    fs::remove_file(&blob).unwrap();
    let error = TarLower::open(&root, &report.path).unwrap_err();
    assert!(error.to_string().contains("not there any more"), "{error}");
}

#[test]
fn layers_in_one_frame_have_a_copy_and_all_are_read_from_it() {
    if !have("zstd") {
        return;
    }
    let (directory, root) = scratch("oci");
    let large = |name: &str, byte: u8| LayerTar::new().bytes(name, &vec![byte; 17 << 20]).finish();
    let layers = [
        base().finish(),
        large("a", 1),
        large("b", 2),
        base().finish(),
    ];
    oci_layout(&root, &layers, Packing::Zstd);
    let layer = open(&root).unwrap();
    assert!(layer.index().seekable_copy().is_some());
    for (name, byte) in [("a", 1), ("b", 2)] {
        let found = contents(&layer, name);
        assert_eq!(found.len(), 17 << 20);
        assert!(found.iter().all(|found| *found == byte), "{name}");
    }
    assert_eq!(contents(&layer, "d/sub/deep"), b"3");
    // The copy is a file that zstd unpacks.
    shell(directory.path(), "zstd -qtf oci.wparidx.zst");
}

#[test]
fn an_archive_within_a_directory_of_lxd_is_the_system() {
    let wrapped = LayerTar::new()
        .file("metadata.yaml", "architecture: x86_64\n")
        .directory("templates")
        .file("templates/hosts.tpl", "x")
        .directory_with_mode("rootfs", 0o711)
        .directory("rootfs/etc")
        .file("rootfs/etc/hostname", "h")
        .hard_link("rootfs/etc/other", "rootfs/etc/hostname")
        .symlink("rootfs/bin", "usr/bin")
        .file("rootfs/usr/bin/sh", "s");
    let (_directory, image) = scratch("lxd.tar");
    fs::write(&image, wrapped.finish()).unwrap();
    let layer = open(&image).unwrap();
    let expected = [
        "bin -> usr/bin",
        "etc/",
        "etc/hostname=h",
        "etc/other=h",
        "usr/",
        "usr/bin/",
        "usr/bin/sh=s",
    ];
    assert_eq!(listing(&layer), expected);
    assert_eq!(layer.attr(LowerNode::ROOT).unwrap().permissions, 0o711);
    let node = resolve(&layer, "etc/hostname").unwrap();
    assert_eq!(layer.attr(node).unwrap().nlink, 2);
    assert_eq!(layer.index().notes(), ["container image of LXD or Incus"]);
    // A system with such names among others is itself.
    fs::write(&image, wrapped.file("etc/hostname", "outer").finish()).unwrap();
    assert_eq!(contents(&open(&image).unwrap(), "etc/hostname"), b"outer");
}

#[test]
fn backups_of_what_changed_lie_over_the_full_one() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, archive: &LayerTar| {
        let bytes = pack(&archive.finish(), Packing::Gzip);
        fs::write(directory.path().join(name), bytes).unwrap();
    };
    write(
        "2026-11-01-0100-F.tar.gz",
        &LayerTar::new().file("a", "old").file("b", "kept"),
    );
    fs::write(directory.path().join("backup.log"), "x").unwrap();
    let cache = directory.path().join("cache");
    let full = ensure_index(directory.path(), &cache, &mut Silent).unwrap();
    assert!(full.warnings.is_empty());
    write(
        "2026-11-02-0100-I.tar.gz",
        &LayerTar::new().file("a", "new").file(".wh.b", "a file"),
    );
    // It is another image now.
    let error = TarLower::open(directory.path(), &full.path).unwrap_err();
    assert!(matches!(error, ImageError::Changed { .. }), "{error}");
    let layer = open(directory.path()).unwrap();
    assert_eq!(listing(&layer), [".wh.b=a file", "a=new", "b=kept"]);
    let warnings = layer.index().warnings().join("\n");
    assert!(
        warnings.contains("what was removed between them"),
        "{warnings}"
    );
    // And what it was can be named.
    let layer = open(&named(directory.path(), "2026-11-01")).unwrap();
    assert_eq!(listing(&layer), ["a=old", "b=kept"]);
}

#[test]
fn a_dump_of_amanda_is_read_behind_its_header() {
    let dump = |line: &str, packing: Packing| {
        let mut bytes = format!("{line}\n\x0c\n").into_bytes();
        bytes.resize(32 << 10, 0);
        bytes.extend(pack(&base().finish(), packing));
        bytes
    };
    let full = "AMANDA: FILE 20261127010000 host /srv lev 0 comp .gz program /bin/tar";
    for packing in [Packing::Plain, Packing::Gzip] {
        let (_directory, image) = scratch("dump");
        fs::write(&image, dump(full, packing)).unwrap();
        let layer = open(&image).unwrap();
        assert_eq!(contents(&layer, "d/sub/deep"), b"3");
        let notes = layer.index().notes();
        assert_eq!(notes, ["Amanda dump of 20261127010000 host /srv"]);
        assert!(layer.index().warnings().is_empty());
    }
    let (_directory, image) = scratch("dump");
    fs::write(&image, dump(&full.replace("lev 0", "lev 2"), Packing::Gzip)).unwrap();
    let warnings = open(&image).unwrap().index().warnings().join("\n");
    assert!(warnings.contains("a dump of level 2"), "{warnings}");
    fs::write(
        &image,
        dump(&full.replace("FILE", "SPLIT_FILE"), Packing::Gzip),
    )
    .unwrap();
    assert!(refusal(&image).contains("amfetchdump"));
}

#[test]
fn an_archive_with_nothing_but_a_disk_is_refused() {
    let (_directory, image) = scratch("cloud.tar");
    let mut disk = vec![0; 2 << 20];
    disk[512..520].copy_from_slice(b"EFI PART");
    let archive = LayerTar::new().bytes("disk.raw", &disk);
    for packing in [Packing::Plain, Packing::Gzip] {
        fs::write(&image, pack(&archive.finish(), packing)).unwrap();
        let text = refusal(&image);
        assert!(
            text.contains("\"disk.raw\", which looks like a disk image"),
            "{text}"
        );
        assert!(text.contains("tar -xf "), "{text}");
    }
    let archive = archive.file("readme", "x");
    fs::write(&image, archive.finish()).unwrap();
    assert_eq!(open(&image).unwrap().index().entries(), 2);
}

#[test]
fn what_the_archive_does_not_carry_is_known() {
    let (_directory, image) = scratch("image.tar");
    fs::write(&image, base().finish()).unwrap();
    let report = ensure_index(&image, image.parent().unwrap(), &mut Silent).unwrap();
    assert!(!report.carries_xattrs && !report.carries_devices);
    let with = base().device("dev/null", 1, 3);
    fs::write(&image, with.finish()).unwrap();
    let report = ensure_index(&image, image.parent().unwrap(), &mut Silent).unwrap();
    assert!(report.carries_devices);
    let layer = TarLower::open(&image, &report.path).unwrap();
    let attr = layer.attr(resolve(&layer, "dev/null").unwrap()).unwrap();
    assert_eq!(attr.kind, FileKind::CharDevice);
}

#[test]
fn a_large_layer_that_is_named_again_is_refused_and_a_small_one_is_not() {
    for (size, refused) in [(1000, false), (200 << 10, true)] {
        let (_directory, image) = scratch("image.tar");
        let layer = LayerTar::new().bytes("x", &vec![7; size]).finish();
        let manifest = serde_json::json!([{"Config": "c.json", "Layers": vec!["l.tar"; 300]}]);
        let archive = LayerTar::new()
            .bytes("l.tar", &layer)
            .file("c.json", "{}")
            .file("manifest.json", &manifest.to_string());
        fs::write(&image, archive.finish()).unwrap();
        if refused {
            assert!(refusal(&image).contains("\"l.tar\" more than once"));
        } else {
            assert_eq!(contents(&open(&image).unwrap(), "x").len(), size);
        }
    }
}
