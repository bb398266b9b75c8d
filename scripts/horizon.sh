#!/bin/bash
# Runs Horizon, unmodified, from PyPI, against a Hanok over simulated hosts: logs in as a user and as an
# administrator and opens its pages (tests/clients/horizon/walk.py). Takes some minutes, nearly all of it Horizon's own.
# HANOK is the program (target/debug/hanok, built first).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$root/tests/clients/horizon
say() { echo "horizon: $*" >&2; }

venv=$("$root/scripts/python-venv.sh" "$here/requirements.txt" "${HANOK_VENV:-$root/.venv}-horizon")
hanok=${HANOK:-}
if [ -z "$hanok" ]; then
  (cd "$root" && cargo build --quiet -p hanok)
  hanok=${CARGO_TARGET_DIR:-$root/target}/debug/hanok
fi
work=$(mktemp -d /tmp/hanok-horizon.XXXXXX)
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free) web=$(free)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null && wait "$pid" || true; done
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$hanok" dev --hosts 2 --data "$work/data" --listen "127.0.0.1:$port" > "$work/hanok.out" 2> "$work/hanok.log" &
pids+=($!)
cp "$here/local_settings.py" "$("$venv/bin/python" -c 'import importlib.util; print(importlib.util.find_spec("openstack_dashboard").submodule_search_locations[0])')/local/"
export HANOK_WORK=$work HANOK_URL=http://127.0.0.1:$port DJANGO_SETTINGS_MODULE=openstack_dashboard.settings
"$venv/bin/python" -W ignore -m django collectstatic --noinput -v0 > "$work/static.log" 2>&1 ||
  { cat "$work/static.log" >&2; say "it could not be set up"; exit 1; }
until grep -qx ready "$work/hanok.out"; do
  kill -0 "${pids[0]}" 2> /dev/null || { cat "$work/hanok.log" >&2; say "hanok did not start"; exit 1; }
  sleep 0.2
done
"$venv/bin/python" -W ignore -m django runserver --noreload --insecure "127.0.0.1:$web" > "$work/horizon.log" 2>&1 &
pids+=($!)
until curl -s -o "$work/login.html" "http://127.0.0.1:$web/auth/login/"; do
  kill -0 "${pids[1]}" 2> /dev/null || { cat "$work/horizon.log" >&2; say "it did not start"; exit 1; }
  sleep 0.5
done
say "opening pages (logs in $work)"
status=0
for who in demo admin; do
  "$venv/bin/python" "$here/walk.py" "http://127.0.0.1:$web" "$who" "$work/data/$who-password" || status=1
done
# Calls that the cloud refused.
grep -oE '"(GET|POST|PUT|PATCH|DELETE) /[a-z]+/v[0-9.]+[^ ]* HTTP/1.1" [45][0-9][0-9]' "$work/horizon.log" | sort | uniq -c || true
exit "$status"
