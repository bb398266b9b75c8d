#!/bin/bash
# Runs COMMAND beside a throw-away PostgreSQL (Debian's), whose address is in HANOK_TEST_POSTGRES.
#   postgres-for-tests.sh COMMAND [ARGUMENT…]
# It listens on a free loopback port, keeps its data in memory (below /tmp where there is little) without ever calling
# fsync, and is gone when COMMAND has ended. The exit status is COMMAND's.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: postgres-for-tests.sh COMMAND [ARGUMENT…]" >&2; exit 2; }
say() { echo "postgres-for-tests: $*" >&2; }

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$bin/initdb" ] || { say "no PostgreSQL here; apt-get install postgresql"; exit 1; }

# Each test has a database of its own, a thousand files: making and removing them is most of the work on a disk.
free=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) || free=0
if [ -w /dev/shm ] && [ "${free:-0}" -gt $((2 << 20)) ]; then place=/dev/shm; else place=/tmp; fi
dir=$(mktemp -d "$place/hanok-pg.XXXXXX")
# PostgreSQL refuses to run as root.
if [ "$(id -u)" = 0 ]; then
  chown postgres: "$dir"
  as() { setpriv --reuid postgres --regid postgres --init-groups env -C "$dir" "$@"; }
else
  as() { env -C "$dir" "$@"; }
fi
stop() {
  as "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop > /dev/null 2>&1 || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

as "$bin/initdb" -D "$dir/data" -U hanok -A trust -E UTF8 --locale C --no-sync > "$dir.log" 2>&1 ||
  { cat "$dir.log" >&2; rm -f "$dir.log"; exit 1; }
mv "$dir.log" "$dir/initdb.log"
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# Another program may take the port in between, so there is more than one try.
for attempt in 1 2 3 4 5; do
  port=$(free_port)
  # The server must not hold our pipes open: whoever reads them waits for their end.
  if as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/server.log" \
    -o "-p $port -h 127.0.0.1 -k $dir -F -c max_connections=200 -c synchronous_commit=off -c full_page_writes=off \
-c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=64MB -c dynamic_shared_memory_type=mmap" \
    start < /dev/null > /dev/null 2>&1; then break; fi
  [ "$attempt" -lt 5 ] || { cat "$dir/server.log" >&2; exit 1; }
done
as "$bin/createdb" -h 127.0.0.1 -p "$port" -U hanok hanok_test
export HANOK_TEST_POSTGRES="postgres://hanok@127.0.0.1:$port/hanok_test"
status=0
"$@" || status=$?
exit "$status"
