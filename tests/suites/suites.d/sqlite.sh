# shellcheck shell=bash
# sqlite: transactions under every journal, by two writers at once, one of which is killed in the
# middle; what was committed has to be there, and the database whole.

needs=(sqlite3:sqlite3)

fill() {
    sqlite3 "$1/lower.db" "
        CREATE TABLE t (writer, number, value);
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO t SELECT 'lower', i, hex(randomblob(60)) FROM n;
        CREATE INDEX t_number ON t (number);" >/dev/null
}

# transactions WRITER FIRST LAST: statements for one transaction each; says so after each.
transactions() {
    local number
    printf 'PRAGMA busy_timeout = 20000;\nPRAGMA synchronous = %s;\n' "${SYNCHRONOUS:-NORMAL}"
    for ((number = $2; number <= $3; number++)); do
        printf "BEGIN IMMEDIATE; INSERT INTO t VALUES ('%s', %d, hex(randomblob(200)));\n" "$1" "$number"
        printf "UPDATE t SET value = hex(randomblob(60)) WHERE number = %d;\n" $((number % 500))
        printf "COMMIT;\nSELECT 'done %d';\n" "$number"
    done
}

value() { sqlite3 -cmd '.timeout 20000' "$1" "$2"; }
whole() { [ "$(value "$1" 'PRAGMA integrity_check')" = ok ]; }

# killed DATABASE: a writer ends in the middle; all that it said was done is there.
killed() {
    local database=$1 said=$SCRATCH/said writer done_ found
    : >"$said"
    transactions killed 1 100000 | sqlite3 "$database" >"$said" &
    writer=$!
    until [ "$(wc -l <"$said")" -gt 200 ] || ! kill -0 "$writer"; do sleep 0.02; done
    kill -KILL "$writer"
    wait "$writer" 2>/dev/null
    done_=$(sed -n 's/^done //p' "$said" | tail -1)
    found=$(value "$database" "SELECT count(*) FROM t WHERE writer = 'killed'")
    echo "said $done_, found $found"
    # The last one may have been done and not said.
    [ "$found" -ge "$done_" ] && [ "$found" -le $((done_ + 1)) ]
}

suite() {
    local journal database name other
    for journal in delete truncate persist wal; do
        for database in "$journal.db" lower.db; do
            name=$journal-lower
            [ "$database" = lower.db ] || name=$journal-new
            value "$database" "PRAGMA journal_mode = $journal;
                CREATE TABLE IF NOT EXISTS t (writer, number, value); DELETE FROM t WHERE writer != 'lower'"
            transactions one 1 150 | sqlite3 "$database" >/dev/null &
            other=$!
            transactions two 1 150 | sqlite3 -cmd 'PRAGMA mmap_size = 100000000' "$database" >/dev/null
            wait "$other"
            check "$name-both-writers" test "$(value "$database" \
                "SELECT count(*) FROM t WHERE writer IN ('one', 'two')")" = 300
            check "$name-killed" killed "$database"
            check "$name-whole" whole "$database"
            check "$name-vacuum" value "$database" 'VACUUM'
        done
    done
    value lower.db 'PRAGMA journal_mode = delete'
    sqlite3 lower.db .sha3sum >"$SCRATCH/before"
    remount
    check same-after-remount cmp "$SCRATCH/before" <(sqlite3 lower.db .sha3sum)
    for journal in delete truncate persist wal; do
        check "$journal-whole-after-remount" whole "$journal.db"
    done
}
