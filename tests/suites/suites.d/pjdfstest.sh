# shellcheck shell=bash
# pjdfstest: what POSIX says of chmod, chown, link, mkdir, mkfifo, mknod, open, rename, rmdir, symlink,
# truncate, unlink, utimensat, about 400 cases. https://crates.io/crates/pjdfstest

prepare() {
    crate pjdfstest 0.2.2 &&
        rustc -O --edition 2024 --crate-type cdylib -o "$BIN/link_max.so" "$here/link_max.rs"
}

configuration() {
    cat <<'TOML'
[features]
posix_fallocate = {}
rename_ctime = {}
stat_st_birthtime = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.02
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["games", "games"]]
TOML
}

suite() {
    local other=$SCRATCH/other limit name verdict
    mkdir -p "$other" && mount -t tmpfs none "$other"
    configuration >"$SCRATCH/configuration"
    # An inode of ours has one name more than it shows: its home.
    limit=$(getconf LINK_MAX "$WORK")
    case $PLACE in rings | device) limit=$((limit - 1)) ;; esac
    pjdfstest -c "$SCRATCH/configuration" -p "$DIR" -s "$other" | tee "$SCRATCH/said"
    LD_PRELOAD=$BIN/link_max.so WPAR_LINK_MAX=$limit pjdfstest -c "$SCRATCH/configuration" \
        -p "$DIR" -s "$other" link_count_max | tee "$SCRATCH/said.links"
    umount "$other"
    [ "$(grep -cE '^[a-z_]+::' "$SCRATCH/said")" -gt 390 ] || failed all-cases-ran
    while read -r name verdict; do
        case $verdict in
            ok) passed "$name" ;;
            FAILED) failed "$name" ;;
            skipped) skipped "$name" ;;
        esac
    done < <(grep -hE '^[a-z_]+::[^ ]+ +(ok|FAILED|skipped)$' "$SCRATCH/said.links" \
        <(grep -v '^link::link_count_max ' "$SCRATCH/said"))
}
