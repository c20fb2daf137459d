# shellcheck shell=bash
# PostgreSQL with checksums of its pages: a load by pgbench, the postmaster killed in the middle of it,
# recovery; then its own verifications, and the same sums after the mount was made again.

needs=(/usr/lib/postgresql/15/bin/postgres:postgresql-15 pgbench:postgresql-client-15)
limit=900

pg() { runuser -u postgres -- env PATH="/usr/lib/postgresql/15/bin:$PATH" PGHOST="$SCRATCH" "$@"; }
start() { pg pg_ctl -D "$DIR/data" -l "$SCRATCH/log" -w -t 120 -o "-k $SCRATCH -c listen_addresses=''" start; }
stop() { pg pg_ctl -D "$DIR/data" -w -t 120 -m fast stop; }
query() { pg psql -X -At -d postgres -c "$1"; }
sums() {
    query "SELECT sum(abalance), count(*) FROM pgbench_accounts; SELECT sum(tbalance) FROM
        pgbench_tellers; SELECT sum(bbalance) FROM pgbench_branches; SELECT sum(delta), count(*) FROM
        pgbench_history" | tr '\n' ' '
}

# Without the word that pg_dump draws anew each time.
dump() { pg pg_dump postgres | grep -vE '^.(un)?restrict '; }

# Of pgbench's transactions each adds the same to all four; whatever was interrupted, they agree.
balanced() {
    local sums
    sums=$(query "SELECT count(DISTINCT s) FROM (SELECT sum(abalance) s FROM pgbench_accounts UNION ALL
        SELECT sum(tbalance) FROM pgbench_tellers UNION ALL SELECT sum(bbalance) FROM pgbench_branches
        UNION ALL SELECT sum(delta) FROM pgbench_history) x")
    [ "$sums" = 1 ]
}

crash() {
    local load status
    pg pgbench -n -c 4 -j 2 -T 60 postgres >"$SCRATCH/load" 2>&1 &
    load=$!
    sleep 5
    kill -KILL "$(head -1 "$DIR/data/postmaster.pid")"
    wait "$load"
    status=$?
    echo "pgbench ended with $status"
    [ "$status" != 0 ] && sleep 2
}

suite() {
    chmod 0777 "$SCRATCH"
    mkdir "$DIR/data" && chown postgres "$DIR/data"
    check initdb pg initdb -k -D "$DIR/data" || return
    check start start || { cat "$SCRATCH/log"; return; }
    query "CREATE EXTENSION amcheck"
    check load pg pgbench -i -q -s 4 postgres
    check pgbench pg pgbench -n -c 4 -j 2 -t 500 postgres
    check balanced balanced
    check crash crash
    rm -f "$DIR/data/postmaster.pid"
    check recovery start || { cat "$SCRATCH/log"; return; }
    check balanced-after-crash balanced
    check amcheck pg pg_amcheck --heapallindexed --parent-check -a
    check tablespace query "CREATE TABLE big AS SELECT g, md5(g::text) m FROM generate_series(1, 200000) g"
    check index query "CREATE INDEX ON big (m)"
    check vacuum query "VACUUM FULL big"
    sums >"$SCRATCH/sums"
    dump >"$SCRATCH/dump"
    check stop stop
    check checksums pg pg_checksums -D "$DIR/data" --check
    remount
    check start-after-remount start || { cat "$SCRATCH/log"; return; }
    check same-sums cmp "$SCRATCH/sums" <(sums)
    check amcheck-after-remount pg pg_amcheck --heapallindexed -a
    check same-dump cmp "$SCRATCH/dump" <(dump)
    check last-stop stop
    cat "$SCRATCH/log" | grep -E 'PANIC|could not (fsync|read|write)' && failed server-log
}
