# shellcheck shell=bash
# stress-ng: each of its stressors of the class file system for two seconds, with its own verification.
# fanotify, getdent and io act on the whole machine, bind-mount is refused without --pathological, and
# binderfs is a file system of its own: these are left out.

needs=(stress-ng:stress-ng)
limit=900

suite() {
    local name status
    for name in $(stress-ng --class 'filesystem?' | sed 's/.*: //'); do
        case $name in bind-mount | binderfs | fanotify | getdent | io) continue ;; esac
        echo "--- $name"
        stress-ng "--$name" 1 --timeout 2 --verify --temp-path "$DIR" -q
        status=$?
        case $status in
            0) passed "$name" ;;
            3 | 4) skipped "$name" "(status $status)" ;;
            *) failed "$name" ;;
        esac
        [ "$(ls "$DIR")" = lower ] || { failed "$name-leaves-nothing" && rm -rf "$DIR"/tmp-stress-ng-*; }
    done
}
