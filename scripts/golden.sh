#!/bin/bash
# Asks the real Identity, Image, Compute and Placement services, installed from PyPI, and a Hanok over simulated
# hosts the same questions, and prints where the answers differ in status or shape (tests/golden/ask.py).
#   golden.sh [--messages] [--only REGEX]
# Differences that are meant are in tests/golden/differences.txt, each with its reason; any other is a failure.
# HANOK is the program (target/debug/hanok, built first).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$root/tests/golden
say() { echo "golden: $*" >&2; }

venv=$("$root/scripts/python-venv.sh" "$here/requirements.txt" "${HANOK_VENV:-$root/.venv}-golden")
hanok=${HANOK:-}
if [ -z "$hanok" ]; then
  (cd "$root" && cargo build --quiet -p hanok)
  hanok=${CARGO_TARGET_DIR:-$root/target}/debug/hanok
fi
work=$(mktemp -d /tmp/hanok-golden.XXXXXX)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null && wait "$pid" || true; done
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

read -r port reference < <(python3 -c '
import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1], 20000 + s.getsockname()[1] % 10000)')
"$venv/bin/python" "$here/reference.py" "$work/reference" "$reference" > "$work/reference.out" 2>&1 &
pids+=($!)
"$hanok" dev --hosts 2 --data "$work/hanok" --listen "127.0.0.1:$port" > "$work/hanok.out" 2> "$work/hanok.log" &
pids+=($!)
say "starting both (logs in $work)"
for n in 0 1; do
  out=$work/$([ "$n" = 0 ] && echo reference || echo hanok).out
  until grep -q '^ready' "$out"; do
    kill -0 "${pids[$n]}" 2> /dev/null || { cat "$out" "$work/hanok.log" >&2; say "it did not start"; exit 1; }
    sleep 0.2
  done
done
"$venv/bin/python" "$here/ask.py" "$@" "http://127.0.0.1:$reference/v3" reference \
  "http://127.0.0.1:$port/identity/v3" "$(cat "$work/hanok/admin-password")"
