# shellcheck shell=bash
# dbench: what a file server is asked for by four clients, from its own recording.

needs=(dbench:dbench)

suite() {
    check dbench dbench -D "$DIR" -c /usr/share/dbench/client.txt -t 15 4
    note "$(sed -n 's/^Throughput \([0-9.]* [^ ]*\).*/\1/p' "$LOG" | tail -1)"
    check clean-up rm -rf "$DIR/clients"
}
