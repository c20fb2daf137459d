# shellcheck shell=bash
# fsx on large files of the lower, whose blocks are copied one by one as they are written: it takes
# over what is there. In rounds, each on a file that is as the image has it; in the middle of a round
# the mount is made again, and the file has to be the same.

. "$here/suites.d/fsx.sh"

completes=yes
readonly FILES=6
# One round writes about half of a file, so most of it happens on a file that is partly copied.
readonly SIZE=32000000
readonly ROUND=${WPAR_FSX_ROUND:-5000}

fill() {
    local number
    mkdir -p "$1/large"
    for ((number = 0; number < FILES; number++)); do
        head -c "$SIZE" /dev/urandom >"$1/large/$number"
    done
}

# Weights for round NUMBER: seldom a change of size, and in every third round none, for it takes away
# what the lower has; direct reads and writes in every
# second one, small ones in most, and
# few that wait for the disk.
shape() {
    echo 'flen = 33554432'
    [ $(($1 % 2)) = 0 ] || echo 'direct = 0.3'
    [ $(($1 % 5)) = 0 ] || echo 'nomsyncafterwrite = true'
    [ $(($1 % 4)) = 0 ] || printf '[opsize]\nmax = 16384\n'
    case $(($1 % 3)) in
        0) weights | sed 's/^truncate.*/truncate = 0/; s/^posix_fallocate.*/posix_fallocate = 0.1/' ;;
        1) weights | sed 's/^truncate.*/truncate = 0.01/' ;;
        2) weights | sed 's/^truncate.*/truncate = 0.002/; s/^write.*/write = 0.3/; s/^read.*/read = 3/' ;;
    esac
}

anew() {
    local name
    detach
    for name in store upper work; do rm -rf "${WORK:?}/$name"; done
    attach
    cd "$DIR" || return 1
}

sums() { (cd "$DIR/large" && sha256sum "$@"); }

suite() {
    local rounds=$(((OPERATIONS + 2 * ROUND - 1) / (2 * ROUND))) round file first=${WPAR_FSX_SEED:-1}
    for ((round = 0; round < rounds; round++)); do
        file=$((round % FILES))
        if [ "$file" = 0 ] && [ "$round" -gt 0 ] && [ "$PLACE" != plain ]; then
            anew || return 1
        fi
        shape "$round" | exercise part-1-round-$round $((first + round)) "$ROUND" \
            "$DIR/large/$file" --keep || return 1
        if [ $((round % 4)) = 0 ]; then
            sums "$file" >"$SCRATCH/sums"
            remount
            check "remount-round-$round" cmp "$SCRATCH/sums" <(sums "$file") || return 1
        fi
        shape $((round + 1)) | exercise part-2-round-$round $((first + round + 500000)) "$ROUND" \
            "$DIR/large/$file" --keep || return 1
    done
    note "$((rounds * 2 * ROUND)) operations over $rounds files of the lower"
}
