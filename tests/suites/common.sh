# shellcheck shell=bash
# What the suites have in common: tools, a lower, mounts that come and go, and the record of what
# passed and failed. Sourced by `run`.
#
# A suite is a file in suites.d. It may define
#   needs=(COMMAND:PACKAGE ...)   Debian packages
#   limit=SECONDS                 after which its daemon is ended; 600
#   completes=yes                 it leaves partly copied files, whose completion in the background
#                                 moves their time of change
#   prepare                       builds what it needs, once, outside of the mount
#   fill DIRECTORY                what of its own the lower shows below /t
#   image                         prints the path of an image to use as the lower instead
# and has to define
#   suite                         runs, with DIR a directory of the file system under test; says what
#                                 it found by check, passed, failed, skipped

# Where every user can get to: some of the suites act as other users.
readonly ROOT=${WPAR_SUITES:-/var/tmp/wpar-suites}
readonly BIN=$ROOT/bin
export OPERATIONS=${OPERATIONS:-20000}
export LC_ALL=C PATH=$BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
: "${here:?is set by run}"

die() { printf 'suites: %s\n' "$1" >&2; exit "$2"; }
all_suites() { (cd "$here/suites.d" && printf '%s\n' *.sh | sed 's/\.sh$//'); }
commit() { git -C "$here" describe --always --dirty 2>/dev/null || echo 'no commit'; }

# --- tools -----------------------------------------------------------------------------------------

# packages INSTALL SUITE...: sees to the Debian packages of the suites, or says which are missing.
packages() {
    local install=$1 suite pair missing=()
    shift
    for suite in "$@"; do
        while read -r pair; do
            [ -z "$pair" ] || [ -e "${pair%%:*}" ] || command -v "${pair%%:*}" >/dev/null ||
                missing+=("${pair##*:}")
        done < <(needs=(); . "$here/suites.d/$suite.sh"
            printf '%s\n' "${needs[@]:-}" getfattr:attr unshare:util-linux)
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    if [ "$install" = yes ]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"
    else
        echo "suites: missing Debian packages, --install gets them: ${missing[*]}" >&2
        return 1
    fi
}

# The server, with WPAR_SERVE to use one that is built already.
build_server() {
    export SERVE=${WPAR_SERVE:-}
    [ -z "$SERVE" ] || return 0
    local target
    (cd "$here/../.." && cargo build --quiet --release --locked -p wpar-mountd --example serve) ||
        return 1
    target=$(cd "$here/../.." && cargo metadata --format-version 1 --no-deps --locked |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    SERVE=$target/release/examples/serve
    [ -x "$SERVE" ]
}

# crate NAME VERSION [PATCH]: builds a program of crates.io into BIN, patched if so wanted.
crate() {
    local name=$1 version=$2 patch=${3:-} mark source
    mark=$BIN/.$name-$version-$(cat "${patch:-/dev/null}" | cksum | cut -d' ' -f1)
    [ ! -e "$mark" ] || return 0
    export CARGO_TARGET_DIR=$ROOT/target
    if [ -z "$patch" ]; then
        cargo install "$name" --version "$version" --locked --root "$ROOT" --force || return 1
    else
        source=$(crate_source "$name" "$version") || return 1
        patch -d "$source" -p1 <"$patch" || return 1
        cargo install --path "$source" --locked --root "$ROOT" --force || return 1
    fi
    : >"$mark"
}

# crate_source NAME VERSION: fetches the source of a crate and prints where a fresh copy of it is.
# A program cannot be a dependency, but what is fetched for one is fetched all the same.
crate_source() {
    local copy=$ROOT/source/$1-$2 ask=$ROOT/source/ask
    rm -rf "$copy" "$ask"
    mkdir -p "$ask/src" && : >"$ask/src/lib.rs" || return 1
    printf '[package]\nname = "ask"\nversion = "0.0.0"\n[dependencies]\n%s = "=%s"\n[workspace]\n' \
        "$1" "$2" >"$ask/Cargo.toml"
    cargo vendor --quiet --manifest-path "$ask/Cargo.toml" "$ask/vendor" >/dev/null || return 1
    mv "$ask/vendor/$1" "$copy" && rm -rf "$ask"
    # The checksums of a vendored copy would forbid a patch.
    rm -f "$copy/.cargo-checksum.json"
    printf '\n[workspace]\n' >>"$copy/Cargo.toml"
    echo "$copy"
}

# --- the lower -------------------------------------------------------------------------------------

prepare() { :; }
fill() { :; }

# What every lower has: some of everything that a directory can hold.
fill_common() {
    local directory=$1
    mkdir -p "$directory/t/lower/empty" && chmod 0777 "$directory/t"
    printf 'a file\n' >"$directory/t/lower/file"
    ln "$directory/t/lower/file" "$directory/t/lower/same-file"
    ln -s file "$directory/t/lower/symlink"
    mkfifo "$directory/t/lower/fifo"
    mknod "$directory/t/lower/device" c 1 3
}

# make_lower SUITE: the tree that the suite's lower shows, as a directory and as an image.
make_lower() (
    local suite=$1 work=$ROOT/work/$1
    rm -rf "$work" && mkdir -p "$work/lower" || exit 1
    . "$here/suites.d/$suite.sh"
    if declare -F image >/dev/null; then
        ln -s "$(image)" "$work/lower.tar" && tar -C "$work/lower" --numeric-owner -xpf "$(image)"
    else
        fill_common "$work/lower" && fill "$work/lower/t" &&
            tar -C "$work/lower" --format=pax --xattrs --numeric-owner -cf "$work/lower.tar" .
    fi
)

# --- what the suites run on ------------------------------------------------------------------------

# attach: makes the file system under test appear at MNT.
attach() {
    case $PLACE in
        rings) serve yes rings ;;
        device) serve no device ;;
        plain) mkdir -p "$WORK/plain" && { [ -e "$WORK/plain/.there" ] ||
            { cp -a "$LOWER/." "$WORK/plain/" && : >"$WORK/plain/.there"; }; } &&
            mount --bind "$WORK/plain" "$MNT" ;;
        overlay) mkdir -p "$WORK/upper" "$WORK/work" && mount -t overlay overlay -o \
            "lowerdir=$LOWER,upperdir=$WORK/upper,workdir=$WORK/work,redirect_dir=on,index=on,xino=on" \
            "$MNT" ;;
        *) die "no such file system: $PLACE" 2 ;;
    esac
}

# serve RINGS EXPECTED: starts the server and waits for its mount.
serve() {
    local spec=$WORK/spec.json said
    printf '{"lower": {"kind": "image", "path": "%s", "index": "%s.wparidx"}, "store": "%s"}\n' \
        "$IMAGE" "$IMAGE" "$WORK/store" >"$spec"
    : >"$WORK/serve.said"
    WPAR_FUSE_URING=$1 "$SERVE" "$spec" "$MNT" >"$WORK/serve.said" 2>>"$WORK/serve.log" &
    server=$!
    echo "$server" >"$WORK/serve.pid"
    until said=$(cat "$WORK/serve.said") && [ -n "$said" ]; do
        kill -0 "$server" 2>/dev/null || { failed daemon-starts; return 1; }
        sleep 0.05
    done
    [ "$said" = "$2" ] || { failed "transport-is-$said"; return 1; }
}

# detach: ends the mount, and the daemon has to end well.
detach() {
    local tries=0
    cd / || return 1
    until umount "$MNT" 2>>"$LOG"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { failed unmount; umount -l "$MNT"; break; }
        sleep 0.1
    done
    [ -n "${server:-}" ] || return 0
    wait "$server" || failed "daemon-status-$?"
    server=
}

# remount: what a suite calls to see whether all is still there.
remount() { detach; attach; cd "$DIR" || return 1; }

# Everything that can be seen of the file system, for a comparison, but a directory's time of change:
# that of the store's directory, which the first change of anything in it moves.
snapshot() {
    local times='%T@ %C@'
    [ "${completes:-no}" = no ] || times='%T@'
    (cd "$MNT" && find . -xdev \( -type d -printf '%p %y %i %n %m %U %G %T@\n' \) -o \
        -printf "%p %y %i %n %m %U %G $times %s %l\n" | sort
    find . -xdev -type f -print0 | sort -z | xargs -0r sha256sum
    getfattr -R -P -h -d -m - . 2>/dev/null) >"$1"
}

# --- one suite on one file system ------------------------------------------------------------------

# run_one SUITE PLACE: in its own namespaces; prints the line of the result.
run_one() {
    local suite=$1 place=$2 start=$SECONDS log=$ROOT/out/$1.$2.log
    local results=$ROOT/out/$1.$2.results verdict=ok bad limit
    limit=$(limit=600; . "$here/suites.d/$suite.sh"; echo "$limit")
    : >"$log" && : >"$results"
    timeout -k 10 $((limit + 120)) unshare --mount --pid --fork --kill-child --mount-proc \
        "$here/run" --inside "$suite" "$place" >>"$log" 2>&1 </dev/null ||
        echo "fail ended-early" >>"$results"
    bad=$(judge "$suite" "$place" "$results")
    [ -z "$bad" ] || verdict=FAILED
    printf '%-12s %-8s %-7s %4d passed, %d failed, %d known, %d skipped, %d s%s\n' "$suite" "$place" \
        "$verdict" "$(grep -c '^pass ' "$results")" "$(grep -c . <<<"$bad")" \
        "$(known "$suite" "$place" | sort | comm -12 - <(failures "$results") | grep -c .)" \
        "$(grep -c '^skip ' "$results")" $((SECONDS - start)) "$(details "$results")"
    [ -z "$bad" ] || printf '%s\n' "$bad" | sed "s|^|    |; \$a\\    see $log"
    [ -z "$bad" ]
}

failures() { sed -n 's/^fail //p' "$1" | sort -u; }
details() { sed -n 's/^note /; /p' "$1" | tr -d '\n'; }

# known SUITE PLACE: the cases that are known to fail there.
known() {
    sed 's/[[:space:]]*#.*//' "$here/known-failures" |
        awk -v suite="$1" -v place="$2" '$1 == suite && ($2 == place || $2 == "*") { print $3 }'
}

# judge SUITE PLACE RESULTS: what is not as it should be, one a line.
judge() {
    local suite=$1 place=$2 results=$3 case
    comm -23 <(failures "$results") <(known "$suite" "$place" | sort -u)
    grep -q '^pass ' "$results" || echo "nothing passed"
    while read -r case; do
        grep -qxF "pass $case" "$results" && echo "$case passes: take it off known-failures"
    done < <(known "$suite" "$place")
}

# inside SUITE PLACE: what runs in the namespaces.
inside() {
    local suite=$1 limit=600
    readonly PLACE=$2 WORK=$ROOT/work/$1/$2 LOWER=$ROOT/work/$1/lower IMAGE=$ROOT/work/$1/lower.tar
    readonly MNT=$ROOT/mnt DIR=$ROOT/mnt/t LOG=$ROOT/out/$1.$2.log
    readonly RESULTS=$ROOT/out/$1.$2.results SCRATCH=$WORK/scratch
    export PLACE WORK DIR MNT SCRATCH TMPDIR=$WORK/scratch
    rm -rf "$WORK" && mkdir -p "$MNT" "$SCRATCH" && chmod 0777 "$SCRATCH" || exit 1
    chmod 0755 "$ROOT" "$ROOT/work" "$ROOT/work/$suite" "$WORK" "$MNT"
    . "$here/suites.d/$suite.sh"
    attach || exit 1
    watch "$limit" &
    local watchdog=$!
    cd "$DIR" 2>/dev/null || cd "$MNT" || exit 1
    suite
    cd / || exit 1
    settle
    kill "$watchdog" 2>/dev/null
    detach
    if [ -e "$WORK/serve.log" ]; then
        cat "$WORK/serve.log"
        # The kernel says ENOENT to the answer to an interrupt of a request that is done already.
        ! grep -v 'Failed to send FUSE reply: No such file' "$WORK/serve.log" |
            grep -qE '^ERROR|panicked' || failed daemon-log
    fi
    rm -rf "$WORK"
}

# watch SECONDS: ends the daemon of a suite that hangs.
watch() {
    sleep "$1"
    echo "fail took-longer-than-$1-s" >>"$RESULTS"
    [ ! -e "$WORK/serve.pid" ] || kill -KILL "$(cat "$WORK/serve.pid")"
}

# After a suite: all that was there has to be there after the mount was made again, and nothing else.
settle() {
    [ "$PLACE" != plain ] || return 0
    snapshot "$WORK/before"
    detach
    attach || return 1
    snapshot "$WORK/after"
    if cmp -s "$WORK/before" "$WORK/after"; then
        passed remount-shows-the-same
    else
        failed remount-shows-the-same
        diff "$WORK/before" "$WORK/after" | head -40
    fi
    [ ! -d "$WORK/store" ] || check nothing-is-left-in-the-store \
        test -z "$(ls -A "$WORK/store/orphans" "$WORK/store/work" | grep -v ':$')"
}

passed() { echo "pass $1" >>"$RESULTS"; }
failed() { echo "fail $1" >>"$RESULTS"; echo "FAILED: $1"; }
skipped() { echo "skip $1" >>"$RESULTS"; echo "SKIPPED: $1 ${2:-}"; }
note() { echo "note $1" >>"$RESULTS"; }

# check NAME COMMAND...: passes if the command does.
check() {
    local name=$1
    shift
    echo "--- $name"
    if "$@"; then passed "$name"; else failed "$name"; return 1; fi
}
