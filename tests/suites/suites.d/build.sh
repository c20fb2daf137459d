# shellcheck shell=bash
# A program is built in a source tree that was unpacked here: compiler, linker, hard links, locks, and
# times that decide what has to be built again. The sources are those of fsx, with what they need.

limit=1800

prepare() {
    . "$here/suites.d/fsx.sh" && prepare &&
        rm -rf "$ROOT/source/build" && cp -r "$(crate_source fsx 0.3.2)" "$ROOT/source/build" &&
        cd "$ROOT/source/build" && mkdir -p .cargo &&
        cargo vendor --quiet --locked vendor >.cargo/config.toml
}

fill() { tar -C "$ROOT/source" -cf "$1/sources.tar" build; }

built() { (cd build && CARGO_TARGET_DIR=$PWD/target nice cargo build --offline --locked --message-format short 2>&1); }
nothing_to_do() { local out; out=$(built) && echo "$out" && ! grep -q Compiling <<<"$out"; }

suite() {
    check unpack tar -xf sources.tar
    check build built
    check runs build/target/debug/fsx -q -N 1000 -S 1 "$DIR/file"
    check nothing-to-do nothing_to_do
    remount
    check nothing-to-do-after-remount nothing_to_do
    touch build/src/main.rs
    check built-again built
    check runs-again build/target/debug/fsx -q -N 1000 -S 2 "$DIR/file"
    check removal rm -rf build file
}
