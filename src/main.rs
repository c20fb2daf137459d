//! The one binary: `wpar`, its verbs, and the daemon under the name `wpar-mountd`.

fn main() {}
