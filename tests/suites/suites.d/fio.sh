# shellcheck shell=bash
# fio with verification by crc32c: writes of all sizes by every engine, on new files and on a large
# file of the lower, then read back; and once more after the mount was made again.

needs=(fio:fio)
completes=yes
readonly LOWER_SIZE=48000000

fill() { head -c "$LOWER_SIZE" /dev/zero | tr '\0' 'x' >"$1/large"; }

engines() {
    cat <<'TABLE'
psync         --ioengine=psync
psync-fsync   --ioengine=psync --fsync=32
psync-direct  --ioengine=psync --direct=1
mmap          --ioengine=mmap
libaio-direct --ioengine=libaio --direct=1 --iodepth=16
io_uring      --ioengine=io_uring --iodepth=16
uring-direct  --ioengine=io_uring --direct=1 --iodepth=16
TABLE
}

# job NAME FILE OPTION...
job() {
    local name=$1 file=$2
    shift 2
    fio --name="$name" --filename="$file" --size=32m --bsrange=4k-128k --verify=crc32c \
        --verify_fatal=1 --randrepeat=1 --group_reporting --minimal "$@" >/dev/null
}

suite() {
    local name options
    while read -r name options; do
        # shellcheck disable=SC2086 # several options
        {
            check "$name-new" job "$name" "$DIR/$name" --rw=randwrite --do_verify=1 $options
            check "$name-mixed" job "$name" "$DIR/$name.mixed" --rw=randrw --do_verify=1 $options
            cp "$DIR/lower/file" "$DIR/other" && cp "$DIR/large" "$DIR/large.$name" &&
                check "$name-copied" job "$name" "$DIR/large.$name" --rw=randwrite --do_verify=1 $options
            rm -f "$DIR/other" "$DIR/large.$name" "$DIR/$name.mixed"
        }
    done < <(engines)
    check lower-psync job lower "$DIR/large" --rw=randwrite --do_verify=1 --ioengine=psync
    check lower-direct job lower "$DIR/large" --rw=randwrite --do_verify=1 --ioengine=libaio \
        --direct=1 --iodepth=16
    check lower-rest cmp <(tail -c +33554433 "$DIR/large") \
        <(head -c $((LOWER_SIZE - 33554432)) /dev/zero | tr '\0' 'x')
    [ "$PLACE" = plain ] || remount
    while read -r name options; do
        # shellcheck disable=SC2086
        check "$name-after-remount" job "$name" "$DIR/$name" --rw=randwrite --verify_only \
            --do_verify=1 $options
        rm -f "$DIR/$name"
    done < <(engines)
    rm -f ./*-verify.state
}
