#!/bin/bash
# Runs rally, unmodified, from PyPI, against a Hanok over simulated hosts: the workloads of
# tests/clients/rally/task.yaml, none of which may fail. Takes some ten minutes, most of it rally's own.
# HANOK is the program (target/debug/hanok, built first).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$root/tests/clients/rally
say() { echo "rally: $*" >&2; }

venv=$("$root/scripts/python-venv.sh" "$here/requirements.txt" "${HANOK_VENV:-$root/.venv}-rally")
hanok=${HANOK:-}
if [ -z "$hanok" ]; then
  (cd "$root" && cargo build --quiet -p hanok)
  hanok=${CARGO_TARGET_DIR:-$root/target}/debug/hanok
fi
work=$(mktemp -d /tmp/hanok-rally.XXXXXX)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$hanok" dev --hosts 2 --data "$work/data" --listen "127.0.0.1:$port" > "$work/hanok.out" 2> "$work/hanok.log" &
started=$!
stop() { kill "$started" 2> /dev/null && wait "$started" || true; }
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
until grep -qx ready "$work/hanok.out"; do
  kill -0 "$started" 2> /dev/null || { cat "$work/hanok.log" >&2; say "it did not start"; exit 1; }
  sleep 0.2
done

export HOME=$work
rally=("$venv/bin/rally" --config-file "$work/rally.conf")
printf '[database]\nconnection = sqlite:///%s/rally.db\n' "$work" > "$work/rally.conf"
truncate -s 1M "$work/disk.img"
python3 - "$port" "$work/data/admin-password" > "$work/env.json" <<'P'
import json, sys
who = {"username": "admin", "project_name": "admin", "user_domain_name": "Default", "project_domain_name": "Default"}
with open(sys.argv[2]) as file:
    who["password"] = file.read().strip()
url = f"http://127.0.0.1:{sys.argv[1]}/identity/v3"
print(json.dumps({"existing@openstack": {"auth_url": url, "region_name": "RegionOne", "endpoint_type": "public", "admin": who}}))
P
{ "${rally[@]}" db create && "${rally[@]}" env create --name hanok --spec "$work/env.json"; } > "$work/setup.log" 2>&1 ||
  { cat "$work/setup.log" >&2; say "rally could not be set up"; exit 1; }
say "running (logs in $work)"
status=0
"${rally[@]}" task start --env hanok --task "$here/task.yaml" --task-args "{\"disk\": \"$work/disk.img\"}" > "$work/task.log" 2>&1 || status=$?
echo "$(grep -c 'END: OK' "$work/task.log" || true) iterations went well"
grep 'END: Error' "$work/task.log" | sed 's/.*END: //' | sort | uniq -c || true
grep -A3 'Reason(s)' "$work/task.log" || true
exit "$status"
