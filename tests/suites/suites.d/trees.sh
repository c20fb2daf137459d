# shellcheck shell=bash
# Programs that copy, compare and search whole trees: cp, tar, rsync, find, diff. Every copy has to be
# the original in all that they know to compare.

needs=(rsync:rsync getfattr:attr setfacl:acl)

# A tree with some of everything: links, devices, times, owners, attributes, ACLs, holes, odd names.
fill() {
    local number tree=$1/tree
    mkdir -p "$tree"/{a,b,c}/{1,2,3}/deep "$tree/empty" && cd "$tree" || return 1
    for ((number = 0; number < 300; number++)); do
        head -c $((number * 37 % 5000)) /dev/urandom >"a/$((number % 3 + 1))/file$number"
    done
    for ((number = 0; number < 60; number++)); do
        ln "a/$((number % 3 + 1))/file$number" "b/$((number % 2 + 1))/link$number"
        ln "a/$((number % 3 + 1))/file$number" "c/3/deep/link$number"
        ln -s "../../a/$number" "c/1/symlink$number"
    done
    head -c 3000000 /dev/urandom >large && ln large b/large
    truncate -s 5M holes && printf x | dd of=holes bs=1 seek=2500000 conv=notrunc status=none
    touch 'with space' $'with\nnewline' $'\xff\xfe' -- '-dash' "$(printf 'n%.0s' {1..255})"
    mkfifo fifo && mknod device b 7 200 && mknod character c 1 5
    chown -R 1234:4321 b && chmod 2775 c && chmod 1777 empty && chmod 6755 a/1/file0
    touch -d 1965-01-02T03:04:05.123456789 a/2/file1 && touch -h -d 2001-02-03 c/1/symlink1
    touch -d 2100-01-02T03:04:05.987654321 a/3
    setfattr -n user.suite -v value large && setfattr -n trusted.suite -v value a/1
    setfacl -m u:1234:rwx,d:u:1234:rwx b/1
}

same_by_rsync() { local out; out=$(rsync -aHAXn --numeric-ids --delete --checksum -i "$1/" "$2/"); echo "$out"; [ -z "$out" ]; }

# The groups of names of one inode, by every name in the tree.
links() { (cd "$1" && find . -type f -links +1 -printf '%i %p\n' | sort | awk '{ if ($1 != last) printf "\n"; last = $1; printf "%s ", $2 }' | sort); }

# Each name is found by the number of its inode, and by no other.
by_number() {
    local path number
    while read -r number path; do
        [ "$(find "$1" -inum "$number" -path "$path" | wc -l)" = 1 ] || { echo "$path"; return 1; }
    done < <(find "$1" -printf '%i %p\n' | grep -v '\\' | awk 'NR % 97 == 1 && NF == 2')
}

everything() {
    local tree=$1 original=$2
    check "$tree-is-the-original" same_by_rsync "$original" "$tree"
    check "$tree-has-its-links" cmp <(links "$original") <(links "$tree")
    check "$tree-by-number" by_number "$DIR/$tree"
}

suite() {
    local original=$SCRATCH/original large
    tar -C "$LOWER/t" -c --format=pax --xattrs --acls --numeric-owner -f "$SCRATCH/tar" tree &&
        mkdir "$original" && tar -C "$original" --xattrs --xattrs-include='*' --acls --numeric-owner \
        --strip-components=1 -xpf "$SCRATCH/tar" && touch -r "$LOWER/t/tree" "$original"
    check tar-compare-lower tar --compare --numeric-owner --xattrs --acls -f "$SCRATCH/tar"
    everything tree "$original"
    check cp cp -a tree by-cp
    everything by-cp "$original"
    check rsync rsync -aHAX --numeric-ids tree/ by-rsync/
    everything by-rsync "$original"
    check tar-extract sh -c "mkdir by-tar && tar -C by-tar --xattrs --xattrs-include='*' --acls \
        --numeric-owner --strip-components=1 -xpf '$SCRATCH/tar'"
    touch -r "$original" by-tar
    everything by-tar "$original"
    check tar-of-a-tree sh -c "tar -c --format=pax --xattrs --acls --numeric-owner tree >'$SCRATCH/again'"
    check tar-compare-other tar --compare --numeric-owner --xattrs --acls -f "$SCRATCH/again"
    check rename mv tree moved
    everything moved "$original"
    check rename-back mv moved tree
    # Some changes, then brought back from the original by rsync's own means.
    find tree/a -type f -name '*7' -exec sh -c 'echo changed >>"$1"' _ {} \;
    rm -r tree/b tree/c/3/deep
    check rsync-back rsync -aHAX --numeric-ids --checksum --delete "$original/" tree/
    everything tree "$original"
    check rsync-inplace rsync -aHAX --numeric-ids --inplace --no-whole-file --ignore-times "$original/" by-cp/
    everything by-cp "$original"
    check diff diff -r --no-dereference -x fifo -x device -x character tree "$original"
    remount
    for large in tree by-cp by-rsync by-tar; do everything "$large" "$original"; done
    check tar-compare tar --compare --numeric-owner --xattrs --acls -f "$SCRATCH/tar"
    check sizes test "$(du -s --apparent-size by-tar/holes | cut -f1)" = "$(du -s --apparent-size "$original/holes" | cut -f1)"
    check removal rm -rf tree by-cp by-rsync by-tar
    check all-gone test "$(ls -A)" = lower
}
