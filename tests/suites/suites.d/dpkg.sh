# shellcheck shell=bash
# dpkg and apt in a system of its own: a Debian image as the lower, entered by chroot. A package is
# made, installed, changed, upgraded, verified and removed; then a shipped package is installed anew,
# which replaces files of the lower by rename and by hard links.

needs=(chroot:coreutils dpkg-deb:dpkg mmdebstrap:mmdebstrap)

prepare() { "$here/../fixtures/make-image.sh" debian12-minbase; }
image() { "$here/../fixtures/make-image.sh" debian12-minbase 2>/dev/null | tail -1; }

inside_it() { chroot "$MNT" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }

# package VERSION: a package with what dpkg treats specially.
package() {
    local root=$SCRATCH/package
    rm -rf "$root" && mkdir -p "$root/DEBIAN" "$root/etc/suite" "$root/usr/share/suite/deep/er" "$root/usr/bin"
    printf 'Package: wpar-suite\nVersion: %s\nArchitecture: all\nMaintainer: a <a@example.org>\n%s\n' \
        "$1" 'Description: a package for a test' >"$root/DEBIAN/control"
    echo /etc/suite/conffile >"$root/DEBIAN/conffiles"
    echo "setting = $1" >"$root/etc/suite/conffile"
    head -c 2000000 /dev/urandom >"$root/usr/share/suite/deep/er/large"
    printf '#!/bin/sh\necho %s\n' "$1" >"$root/usr/bin/wpar-suite"
    chmod 4755 "$root/usr/bin/wpar-suite"
    ln "$root/usr/bin/wpar-suite" "$root/usr/bin/wpar-suite-link"
    ln -s deep/er/large "$root/usr/share/suite/symlink"
    case $1 in 2) mkdir "$root/usr/share/suite/new" ;; *) mkdir "$root/usr/share/suite/old" ;; esac
    (cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | xargs -0 md5sum) >"$SCRATCH/md5sums"
    mv "$SCRATCH/md5sums" "$root/DEBIAN/md5sums"
    dpkg-deb --root-owner-group -Zgzip -b "$root" "$MNT/tmp/wpar-suite_$1_all.deb" >/dev/null
}

# A file of a package of the image is taken up again from a package that is put together from what is
# installed, so no network is needed: dpkg unpacks every file beside the old one and renames it.
again() {
    local name=$1 root=$SCRATCH/again path
    rm -rf "$root" && mkdir -p "$root/DEBIAN"
    (cd "$MNT" && sed 's|^/|./|' "var/lib/dpkg/info/$name.list" 2>/dev/null ||
        sed 's|^/|./|' "$MNT/var/lib/dpkg/info/$name":*.list) >"$SCRATCH/list"
    # What is a link to a directory now (/bin) is a directory in the package.
    while read -r path; do
        [ "$path" = ./. ] || [ ! -d "$MNT/$path" ] || mkdir -p "$root/$path"
    done <"$SCRATCH/list"
    while read -r path; do
        if [ ! -d "$MNT/$path" ] && { [ -e "$MNT/$path" ] || [ -L "$MNT/$path" ]; }; then
            cp -a "$MNT/$path" "$root/$path"
        fi
    done <"$SCRATCH/list"
    inside_it dpkg-query -s "$name" | sed '/^Status:/d; /^Conffiles:/,/^[^ ]/{/^Conffiles:/d; /^ /d}' \
        >"$root/DEBIAN/control"
    (cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | xargs -0r md5sum) >"$root/DEBIAN/md5sums"
    dpkg-deb -Zgzip -b "$root" "$MNT/tmp/$name.deb" >/dev/null &&
        inside_it dpkg --force-confold -i "/tmp/$name.deb"
}

# Nothing is changed but the configuration file that the suite changed.
verified() {
    local out
    out=$(inside_it dpkg --verify "$@") || return 1
    echo "$out"
    [ -z "$(sed '/ c \/etc\/suite\/conffile$/d' <<<"$out")" ]
}

suite() {
    local name
    mount -t proc proc "$MNT/proc" && mount --bind /dev/null "$MNT/dev/null"
    check whole-system-verifies verified
    package 1 && package 2
    check install inside_it dpkg -i /tmp/wpar-suite_1_all.deb
    check verify verified wpar-suite
    check runs test "$(inside_it wpar-suite)" = 1
    check set-id test "$(stat -c %a "$MNT/usr/bin/wpar-suite")" = 4755
    check one-inode test "$MNT/usr/bin/wpar-suite" -ef "$MNT/usr/bin/wpar-suite-link"
    echo changed >>"$MNT/etc/suite/conffile"
    check upgrade inside_it apt-get install -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confold /tmp/wpar-suite_2_all.deb
    check runs-upgraded test "$(inside_it wpar-suite-link)" = 2
    check conffile-kept grep -q changed "$MNT/etc/suite/conffile"
    check old-directory-gone test ! -e "$MNT/usr/share/suite/old"
    for name in tzdata base-files libc-bin coreutils util-linux; do
        [ ! -e "$MNT/var/lib/dpkg/info/$name.list" ] || check "again-$name" again "$name"
    done
    umount "$MNT/proc" "$MNT/dev/null"
    remount
    mount -t proc proc "$MNT/proc" && mount --bind /dev/null "$MNT/dev/null"
    check verify-after-remount verified
    check remove inside_it apt-get purge -y -o Dpkg::Use-Pty=0 wpar-suite
    check nothing-left test ! -e "$MNT/usr/share/suite" -a ! -e "$MNT/etc/suite"
    check install-again inside_it dpkg -i /tmp/wpar-suite_1_all.deb
    check audit test -z "$(inside_it dpkg --audit)"
    check ldconfig inside_it ldconfig
    check apt-check inside_it apt-get check
    check all-verifies verified
    umount "$MNT/proc" "$MNT/dev/null"
}
