//! Benchmarks of wpar against a full copy and against its rivals.

fn main() {}
