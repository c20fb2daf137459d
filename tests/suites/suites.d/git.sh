# shellcheck shell=bash
# git: the working copy and repository that a developer has, over a mount that is made again. What it
# compares, device, inode, times, is exactly what a file system can get wrong.

needs=(git:git)
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a \
    GIT_COMMITTER_EMAIL=a@example.org GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1

# A repository of 60 commits on 400 files, one of which is large.
fill() {
    local commit number repository=$1/repository
    git init -q -b main "$repository" && cd "$repository" || return 1
    # Else it tidies up in the background while it is copied.
    git config gc.auto 0 && git config maintenance.auto false
    mkdir -p {a,b,c,d}/{1,2,3,4,5}
    head -c 3000000 /dev/urandom >large
    for ((commit = 0; commit < 60; commit++)); do
        for ((number = commit % 4; number < 400; number += 4 + commit % 7)); do
            printf 'line %s of %s\n' $commit $number >>"$(file_name "$number")"
        done
        git add -A && git commit -q -m "commit $commit" || return 1
    done
    git tag old HEAD~30
    cp -r "$repository" "$1/in-the-lower"
}

file_name() {
    local directories=(a b c d)
    echo "${directories[$1 % 4]}/$((1 + $1 / 4 % 5))/file$1"
}

clean() { local out; out=$(git -C "$1" status --porcelain 2>&1) && [ -z "$out" ]; }

# Without a look at contents: what the index remembers of each file is what the file system says.
unmoved() { git -C "$1" diff-files --quiet; }

suite() {
    check clone git clone -q --no-hardlinks lower/../repository clone
    check clone-by-links git clone -q repository links
    check worktree git -C clone worktree add -q ../tree old
    check old git -C links checkout -q old
    check new git -C links checkout -q main
    check branch git -C clone checkout -q -b work
    echo changed >>clone/a/1/file0
    rm clone/b/1/file1 && git -C clone mv c/1 c/moved
    check commit git -C clone commit -q -a -m changed
    echo stashed >>clone/a/1/file0
    check stash git -C clone stash -q
    check pop git -C clone stash pop -q
    check reset git -C clone reset -q --hard
    check merge git -C clone merge -q --no-edit main
    for name in clone links tree repository in-the-lower; do
        # A copy of a repository has an index of the original's inodes.
        git -C "$name" update-index -q --refresh
        check "$name-clean" clean "$name"
    done
    for name in clone links tree repository in-the-lower; do
        check "$name-fsck" git -C "$name" fsck --full --strict
    done
    remount
    for name in clone links tree repository in-the-lower; do
        check "$name-unmoved" unmoved "$name"
        check "$name-clean-after" clean "$name"
    done
    check gc git -C clone gc -q --aggressive --prune=now
    check gc-lower git -C in-the-lower gc -q --prune=now
    check repack git -C links repack -q -a -d
    remount
    for name in clone links in-the-lower; do
        check "$name-fsck-after-gc" git -C "$name" fsck --full --strict
        check "$name-clean-after-gc" clean "$name"
    done
    check same-history test "$(git -C clone rev-parse main)" = "$(git -C repository rev-parse main)"
    check bundle git -C clone bundle create -q "$DIR/bundle" --all
    check unbundle git clone -q bundle unbundled
    check removal rm -rf clone links tree unbundled bundle repository in-the-lower
}
