#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wpar_mountd::fuzzing::run("embedded", data));
