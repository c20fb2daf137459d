# shellcheck shell=bash
# fsx on new files: random reads, writes, mappings, holes, copies and changes of size, each compared
# with what the file has to contain. https://crates.io/crates/fsx, with fsx.patch

needs=(patch:patch)
limit=3600

prepare() { crate fsx 0.3.2 "$here/fsx.patch"; }

# exercise NAME SEED OPERATIONS FILE [OPTION...], the configuration on standard input
exercise() {
    local name=$1 seed=$2 operations=$3 file=$4
    shift 4
    cat >"$SCRATCH/fsx.toml"
    check "$name-seed-$seed" fsx -q -f "$SCRATCH/fsx.toml" -P "$SCRATCH" -N "$operations" \
        -S "$seed" "$@" "$file"
}

weights() {
    cat <<'TOML'
[weights]
read = 1
write = 1
mapread = 1
mapwrite = 1
truncate = 1
close_open = 1
invalidate = 1
posix_fallocate = 1
punch_hole = 1
sendfile = 1
posix_fadvise = 1
copy_file_range = 1
fsync = 0.1
fdatasync = 0.1
TOML
}

suite() {
    local seed first=${WPAR_FSX_SEED:-1}
    for ((seed = first; seed < first + 2; seed++)); do
        { echo 'flen = 1048576'; weights; } | exercise mixed "$seed" $((OPERATIONS / 4)) "$DIR/a"
        # Aligned as a disk wants it, but on a file of any size.
        { printf '%s\n' 'flen = 4194304' 'direct = 0.3' '[opsize]' 'max = 65536' 'align = 512'
            weights; } | exercise direct "$seed" $((OPERATIONS / 4)) "$DIR/b"
    done
    note "$OPERATIONS operations"
}
