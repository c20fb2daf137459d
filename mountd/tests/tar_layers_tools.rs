//! Container images by real programs, against what umoci unpacks of them as root.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use wpar_mountd::lower::tar::TarLower;
use wpar_mountd::lower::{LowerLayer, LowerNode};

mod container_support;
mod tar_support;
use container_support::{LayerTar, Packing, nodes, oci_layout};
use tar_support::{Comparison, Contents, Random, have, is_root, make_tree, open, shell};

/// Everything in a directory, with what a layer can carry of it.
fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(root, "", &mut found);
    found
}

fn walk(directory: &Path, path: &str, found: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{path}{}", entry.file_name().to_str().unwrap());
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        let mode = metadata.mode() & 0o7777;
        if metadata.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            found.push(format!("{path} -> {}", target.display()));
        } else if metadata.is_dir() {
            found.push(format!("{path}/ {mode:o}"));
            walk(&entry.path(), &format!("{path}/"), found);
        } else {
            let contents = fs::read_to_string(entry.path()).unwrap();
            found.push(format!("{path} {mode:o} {} {contents}", metadata.nlink()));
        }
    }
}

fn shown(layer: &TarLower) -> Vec<String> {
    nodes(layer)
        .into_iter()
        .zip(container_support::listing(layer))
        .map(|((path, node), line)| {
            let attr = layer.attr(node).unwrap();
            let mode = attr.permissions;
            if line.contains(" -> ") {
                line
            } else if let Some(contents) = line.strip_prefix(&format!("{path}=")) {
                format!("{path} {mode:o} {} {contents}", attr.nlink)
            } else {
                format!("{path}/ {mode:o}")
            }
        })
        .collect()
}

const NAMES: [&str; 4] = ["a", "b", "c", "l"];

/// A layer of random changes, as programs write them: whiteouts before what is new, directories
/// before what is in them.
fn random_layer(random: &mut Random, is_base: bool) -> LayerTar {
    let mut layer = LayerTar::new();
    let mut directories = vec![String::new()];
    let mut used = std::collections::HashSet::new();
    for number in 0..6 + random.below(12) {
        let at = random.below(directories.len() as u64) as usize;
        let parent = directories[at].clone();
        let name = NAMES[random.below(3) as usize];
        let path = format!("{parent}{name}");
        match random.below(if is_base { 6 } else { 9 }) {
            // A name is an entry or a whiteout, and only once.
            _ if !used.insert(path.clone()) => {}
            0..=2 => {
                layer = layer.directory_with_mode(&path, 0o700 + number as u32 % 8);
                directories.push(format!("{path}/"));
            }
            3 | 4 => layer = layer.file(&path, &format!("{number}")),
            5 => {
                let target = NAMES[random.below(4) as usize];
                layer = layer.symlink(&path, &format!("/{target}"));
            }
            6 | 7 => layer = layer.file(&format!("{parent}.wh.{name}"), ""),
            // An opaque directory, before anything is in it.
            _ => {
                layer = layer
                    .directory(&path)
                    .file(&format!("{path}/.wh..wh..opq"), "");
                directories.push(format!("{path}/"));
            }
        }
    }
    layer
}

#[test]
fn random_layers_are_as_umoci_unpacks_them() {
    if !is_root() || !have("umoci") {
        return;
    }
    let rounds = std::env::var("WPAR_LAYERS").map_or(40, |rounds| rounds.parse().unwrap());
    for seed in 0..rounds {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random::new(seed);
        let layers: Vec<Vec<u8>> = (0..3)
            .map(|number| random_layer(&mut random, number == 0).finish())
            .collect();
        oci_layout(&directory.path().join("oci"), &layers, Packing::Gzip);
        shell(
            directory.path(),
            "umoci raw unpack --image oci:latest root >log 2>&1 || { cat log >&2; false; }",
        );
        let layer = open(&directory.path().join("oci")).unwrap();
        assert_eq!(
            shown(&layer),
            tree(&directory.path().join("root")),
            "seed {seed}"
        );
    }
}

/// What is done to a system between one layer and the next.
const CHANGES: [&str; 3] = [
    // Renamed, removed, replaced by other types; a new attribute; a hard link.
    "rm etc/passwd bin/su2; mv sizes sizes2; rm -r many; mkdir many; echo new >many/only
     rm dangling; mkdir dangling; echo x >dangling/in; rm -r odd; echo file >odd
     chmod 4711 bin/wall; ln etc/group etc/group2; ln -s usr/lib lib; mkdir -p usr/lib
     echo in >usr/lib/library; setfattr -n user.layer -v two etc",
    "rm -r dangling; ln -s nowhere dangling; echo more >>many/only; chown 12:34 etc/shadow
     rm odd; mkdir odd; echo again >odd/file; touch -d @1234567890.25 deep/er; echo two >usr/lib/two",
    "rm -r deep usr/lib/library; mkdir deep; rm etc/group2; truncate -s 1M sparse-file",
];

/// These layers have no entry for the root: umoci gives it the year 1970, we the image's time.
fn settle_root(layer: &TarLower, root: &Path) {
    let time = layer.attr(LowerNode::ROOT).unwrap().mtime;
    let time = Duration::new(time.seconds as u64, time.nanoseconds);
    let directory = fs::File::open(root).unwrap();
    directory
        .set_modified(SystemTime::UNIX_EPOCH + time)
        .unwrap();
}

/// Makes an image of four layers by buildah; false if it cannot be made here.
fn build(directory: &Path) -> bool {
    if !is_root() || !have("buildah") || !have("podman") || !have("skopeo") || !have("umoci") {
        return false;
    }
    let tree = directory.join("tree");
    fs::create_dir(&tree).unwrap();
    make_tree(&tree, Contents::Long);
    shell(&tree, "rm -r sparse high");
    let at = directory.display();
    let engine = format!("--root {at}/s --runroot {at}/r --storage-driver vfs");
    let mut script = format!(
        "buildah() {{ command buildah {engine} \"$@\"; }}; podman() {{ command podman {engine} \"$@\"; }}
         c=$(buildah from scratch); m=$(buildah mount $c)
         cp -a tree/. $m/; buildah commit -q $c base >/dev/null; buildah rm $c >/dev/null\n"
    );
    for (number, change) in CHANGES.iter().enumerate() {
        let from = match number {
            0 => "base".to_owned(),
            _ => format!("step{number}"),
        };
        let to = number + 1;
        script.push_str(&format!(
            "c=$(buildah from --pull=never localhost/{from}); m=$(buildah mount $c); (cd $m; {change})
             buildah commit -q $c step{to} >/dev/null; buildah rm $c >/dev/null\n"
        ));
    }
    script.push_str(
        "podman save -q -o docker.tar localhost/step3
         podman save -q --format oci-archive -o oci.tar localhost/step3
         podman save -q -m -o several.tar localhost/step1 localhost/step2
         mkdir oci; tar -xf oci.tar -C oci",
    );
    shell(directory, &script);
    true
}

#[test]
fn images_of_buildah_podman_and_skopeo_are_as_umoci_unpacks_them() {
    let directory = tempfile::tempdir().unwrap();
    if !build(directory.path()) {
        return;
    }
    shell(
        directory.path(),
        "umoci raw unpack --image oci:localhost/step3:latest root >/dev/null 2>&1
         skopeo copy -q oci:oci:localhost/step3:latest docker-archive:skopeo.tar:some/name:tag
         skopeo copy -q oci:oci:localhost/step3:latest oci-archive:skopeo-oci.tar:x
         skopeo copy -q --dest-compress --dest-compress-format zstd \
            oci:oci:localhost/step3:latest oci:zstd:x
         skopeo copy -q --dest-decompress oci:oci:localhost/step3:latest oci:plain:x
         gzip -k docker.tar oci.tar",
    );
    let root = directory.path().join("root");
    for name in [
        "oci",
        "docker.tar",
        "oci.tar",
        "skopeo.tar",
        "skopeo-oci.tar",
        "zstd",
        "plain",
        "docker.tar.gz",
        "oci.tar.gz",
    ] {
        let layer = open(&directory.path().join(name)).unwrap();
        let warnings = layer.index().warnings();
        assert_eq!(warnings, [""; 0], "{name}");
        settle_root(&layer, &root);
        let objects = Comparison::new(&layer, false, false).run(&root);
        assert!(objects > 100, "{name}: {objects}");
        println!("{name}: {objects} objects, {:?}", layer.index().notes());
    }
    // Two images in one archive.
    let several = directory.path().join("several.tar");
    let error = open(&several).unwrap_err().to_string();
    assert!(error.contains("several container images"), "{error}");
    let chosen = format!("{}#step1:latest", several.display());
    let layer = open(Path::new(&chosen)).unwrap();
    assert!(tar_support::resolve(&layer, "dangling/in").is_some());
    assert!(tar_support::resolve(&layer, "usr/lib/two").is_none());
}

#[test]
fn an_image_that_umoci_changed_is_as_umoci_unpacks_it() {
    if !is_root() || !have("umoci") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    make_tree(&tree, Contents::Long);
    let mut script = "(umoci init --layout oci; umoci new --image oci:v0
        umoci unpack --image oci:v0 b0; cp -a tree/. b0/rootfs/
        umoci repack --image oci:v1 b0\n"
        .to_owned();
    for (number, change) in CHANGES.iter().enumerate() {
        let (from, to) = (number + 1, number + 2);
        script.push_str(&format!(
            "umoci unpack --image oci:v{from} b{from}; (cd b{from}/rootfs; {change})
             umoci repack --image oci:v{to} b{from}\n"
        ));
    }
    script.push_str("umoci raw unpack --image oci:v4 root) >log 2>&1");
    shell(directory.path(), &script);
    let error = open(&directory.path().join("oci")).unwrap_err().to_string();
    assert!(error.contains("v0, v1, v2, v3, v4"), "{error}");
    let chosen = format!("{}#v4", directory.path().join("oci").display());
    let layer = open(Path::new(&chosen)).unwrap();
    assert_eq!(layer.index().warnings(), [""; 0]);
    let root = directory.path().join("root");
    settle_root(&layer, &root);
    let objects = Comparison::new(&layer, false, false).run(&root);
    assert!(objects > 100, "{objects}");
}
