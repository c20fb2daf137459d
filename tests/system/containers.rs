//! Container images as systems: an archive of `docker save`, and an OCI image layout.

use std::fs::{self, File};
use std::path::Path;

use crate::common::fixtures::{fixture, sha256};
use crate::common::skip::need;
use crate::common::world::World;

/// A layer that changes the system below it.
fn upper(path: &Path) {
    let mut archive = tar::Builder::new(File::create(path).unwrap());
    for (name, contents) in [("etc/motd", "layered\n"), ("etc/.wh.hostname", "")] {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(contents.len() as u64);
        archive
            .append_data(&mut header, name, contents.as_bytes())
            .unwrap();
    }
    archive.finish().unwrap();
}

/// Packs two images, one and both layers, as `docker save` does.
fn docker_archive(image: &Path, layers: [&Path; 2]) {
    let manifest = serde_json::json!([
        {"Config": "c.json", "RepoTags": ["test:base"], "Layers": ["0.tar"]},
        {"Config": "c.json", "RepoTags": ["test:both"], "Layers": ["0.tar", "1.tar"]},
    ]);
    let mut archive = tar::Builder::new(File::create(image).unwrap());
    for (number, layer) in layers.iter().enumerate() {
        let name = format!("{number}.tar");
        archive.append_path_with_name(layer, name).unwrap();
    }
    let texts = [
        ("c.json", "{\"os\":\"linux\"}".to_owned()),
        ("manifest.json", manifest.to_string()),
    ];
    for (name, text) in texts {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive
            .append_data(&mut header, name, text.as_bytes())
            .unwrap();
    }
    archive.finish().unwrap();
}

/// Makes an image layout of the layers.
fn layout(root: &Path, layers: [&Path; 2]) {
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let keep = |from: &Path| {
        let digest = sha256(from);
        fs::copy(from, blobs.join(&digest)).unwrap();
        let size = fs::metadata(from).unwrap().len();
        serde_json::json!({"digest": format!("sha256:{digest}"), "size": size})
    };
    let text = |value: serde_json::Value| {
        let file = root.join("text");
        fs::write(&file, value.to_string()).unwrap();
        let descriptor = keep(&file);
        fs::remove_file(&file).unwrap();
        descriptor
    };
    let config = text(serde_json::json!({"os": ""}));
    let layers: Vec<_> = layers.iter().map(|layer| keep(layer)).collect();
    let manifest = text(serde_json::json!({"config": config, "layers": layers}));
    let index = serde_json::json!({"manifests": [manifest]}).to_string();
    fs::write(root.join("index.json"), index).unwrap();
    fs::write(
        root.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )
    .unwrap();
}

#[test]
fn container_images_start_with_all_their_layers() {
    let world = need!(World::new());
    let base = need!(fixture("busybox"));
    let at = |name: &str| world.scratch().join(name);
    upper(&at("upper.tar"));
    let layers = [base.as_path(), &at("upper.tar")];
    docker_archive(&at("docker.tar"), layers);
    layout(&at("oci"), layers);
    let several = format!("mkwpar -t -B {} -n refused", at("docker.tar").display());
    world.refused(
        &several,
        &[
            "several container images: test:base, test:both",
            "#test:base",
        ],
    );
    for (name, image) in [("docker", "docker.tar#test:both"), ("layout", "oci")] {
        world.mkwpar(&at(image), name);
        world.ok(&format!("startwpar {name}"));
        assert_eq!(world.inside(name, "cat /etc/motd"), "layered");
        world.inside(name, "echo changed >/etc/motd; sync");
        world.ok(&format!("stopwpar {name}"));
        world.ok(&format!("startwpar {name}"));
        assert_eq!(world.inside(name, "cat /etc/motd"), "changed");
        world.ok(&format!("stopwpar {name}"));
    }
    // Another image under the same name is another source.
    let path = at("oci").join("index.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text} ")).unwrap();
    world.refused("startwpar layout", &["has changed since"]);
    world.remove_all();
}
