#!/bin/bash
# Drives the portal in Debian's Chromium against a region over simulated hosts of its own, or against the one that
# HANOK_URL names (its passwords in HANOK_DATA; GUESTS=1 where its servers are real). HANOK is the program, built
# after the pages (scripts/portal.sh). Without npm or Chromium it says what is missing and fails nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
what=${1:-run}
for need in node chromium; do
  command -v "$need" >/dev/null || { echo "portal-e2e: $need is not here; the pages are not driven." >&2; exit 0; }
done

if [ -z "${HANOK_URL:-}" ]; then
  hanok=${HANOK:-$root/target/release/hanok}
  data=$(mktemp -d)
  port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
  "$hanok" dev --data "$data" --listen "127.0.0.1:$port" --hosts 3 > "$data/said" 2>&1 &
  child=$!
  trap 'kill "$child" 2>/dev/null; wait "$child" 2>/dev/null; rm -rf "$data"' EXIT
  until grep -q '^ready' "$data/said"; do
    kill -0 "$child" 2>/dev/null || { cat "$data/said" >&2; exit 1; }
    sleep 0.1
  done
  export HANOK_URL="http://127.0.0.1:$port" HANOK_DATA="$data"
fi
node "$root/portal/ui/e2e/$what.mjs"
