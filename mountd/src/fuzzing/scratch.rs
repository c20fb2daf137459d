//! A directory for what has to be a file: in memory, one for each thread, gone with it.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

thread_local! {
    static SCRATCH: OnceCell<Scratch> = const { OnceCell::new() };
}

/// Calls `use_it` with this thread's directory, emptied.
pub(crate) fn emptied<T>(use_it: impl FnOnce(&Path) -> T) -> T {
    SCRATCH.with(|scratch| {
        let directory = &scratch.get_or_init(make).0;
        let _ = fs::remove_dir_all(directory);
        fs::create_dir(directory).unwrap();
        use_it(directory)
    })
}

fn make() -> Scratch {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let memory = Path::new("/dev/shm");
    let above = if memory.is_dir() {
        memory.to_path_buf()
    } else {
        std::env::temp_dir()
    };
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("wpar-fuzzing-{}-{number}", std::process::id());
    Scratch(above.join(name))
}
