//! `mkwpar -M`: a WPAR takes no more of the host's disk than it may.

use std::path::Path;

use crate::common::fixtures::fixture;
use crate::common::run::Output;
use crate::common::skip::need;
use crate::common::world::World;

const MIB: u64 = 1 << 20;

/// `dd` inside, of so many blocks of 64 KiB.
fn dd(world: &World, file: &str, count: u32) -> Output {
    let line = format!("dd if=/dev/zero of={file} bs=65536 count={count}");
    world.wpar(["clogin", "one", "sh", "-c", &line]).output()
}

/// Size, used and free that `df` tells inside, in units of 1 KiB or, with `-i`, inodes.
fn df(world: &World, options: &str) -> [u64; 3] {
    let text = world.inside("one", &format!("df -P {options} / | tail -n 1"));
    let mut words = text.split_whitespace().skip(1);
    std::array::from_fn(|_| {
        let word = words.next().unwrap_or_else(|| panic!("{text}"));
        word.parse().unwrap_or_else(|_| panic!("{text}"))
    })
}

fn make(world: &World, image: &Path, attributes: &[&str]) {
    world
        .wpar(["mkwpar", "-t", "-n", "one", "-B"])
        .arg(image)
        .arg("-M")
        .args(attributes)
        .ok();
}

#[test]
fn dd_stops_at_the_limit_and_df_tells_it() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    make(&world, &image, &["directory=/", "size=20M", "inodes=500"]);
    world.ok("startwpar one");
    let [size, used, free] = df(&world, "-k");
    assert_eq!(size, 20 * 1024);
    assert!(used < 2048, "{used} KiB");
    assert_eq!(free, size - used);
    // What fits, fits.
    assert_eq!(dd(&world, "/root/fits", 160).code(), 0);
    let refused = dd(&world, "/root/big", 1000);
    assert_ne!(refused.code(), 0, "{refused}");
    let complaint = refused.complaint();
    assert!(complaint.contains("No space left on device"), "{refused}");
    let [size, used, free] = df(&world, "-k");
    assert_eq!(size, 20 * 1024);
    assert!(used <= size && size - used < 16, "{used} of {size} KiB");
    assert!(free < 16, "{free} KiB");
    let store = world.root().join("var/lib/wpar/stores/one");
    let taken = space_below(&store);
    assert!(taken < 21 * MIB, "{taken} bytes on the host");
    world.inside("one", "rm /root/big && echo room >/root/note");
    let [_, used, _] = df(&world, "-k");
    assert!((10 * 1024..13 * 1024).contains(&used), "{used} KiB");
    // Inodes likewise.
    let [size, used, free] = df(&world, "-i");
    assert_eq!((size, used + free), (500, 500));
    let script = "i=0; { while [ $i -lt 600 ] && true >/root/f$i; do i=$((i+1)); done; } \
         2>/dev/null; echo $i";
    let made: u64 = world
        .inside("one", script)
        .trim()
        .parse()
        .expect("a number");
    assert!(made <= free && made + 20 > free, "{made} of {free}");
    assert_eq!(df(&world, "-i")[2], 0);
    world.inside("one", "rm /root/f*; echo room >/root/other");
    // The numbers are the same after a clean end, and true after an unclean one.
    let before = df(&world, "-k");
    world.ok("stopwpar one");
    world.ok("startwpar one");
    let after = df(&world, "-k");
    assert!(after[1].abs_diff(before[1]) < 512, "{before:?} {after:?}");
    world.ok("stopwpar one");
    world.remove_all();
}

#[test]
fn limits_are_kept_with_the_store_and_can_be_changed_with_it() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    make(&world, &image, &["size=20M"]);
    world.ok("startwpar one");
    assert_eq!(dd(&world, "/root/some", 160).code(), 0);
    world.ok("stopwpar one");
    world.ok("rmwpar -p one");
    world.ok("mkwpar -p -n one");
    let listed = world.ok("lswpar -q -c -a size,inodes");
    assert_eq!(listed.text(), "20M:unlimited");
    world.ok("rmwpar -p one");
    // Less than it takes already.
    world.ok("mkwpar -p -n one -M size=5M");
    world.ok("startwpar one");
    assert_eq!(df(&world, "-k"), [5 * 1024, 5 * 1024, 0]);
    assert_ne!(dd(&world, "/root/more", 1).code(), 0);
    world.inside("one", "rm /root/some && echo room >/root/note");
    world.ok("stopwpar one");
    world.ok("rmwpar -p one");
    world.ok("mkwpar -p -n one -M size=unlimited");
    world.ok("startwpar one");
    assert_eq!(dd(&world, "/root/more", 160).code(), 0);
    world.ok("stopwpar one");
    world.remove_all();
}

#[test]
fn what_is_no_limit_is_refused_before_anything_is_made() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    for (attribute, says) in [
        ("size=lots", "is no size"),
        ("size=10", "is too little"),
        ("directory=/home", "cannot be a file system of its own"),
        ("vfs=jfs2", "has no attribute 'vfs'"),
    ] {
        let line = format!("mkwpar -t -B {} -n one -M {attribute}", image.display());
        world.refused(&line, &[says]);
    }
    world.assert_empty();
}

fn space_below(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut space = 0;
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let found = std::fs::symlink_metadata(&path).expect("what was listed");
        space += found.blocks() * 512;
        if found.is_dir() {
            space += space_below(&path);
        }
    }
    space
}
