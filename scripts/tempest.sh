#!/bin/bash
# Runs OpenStack's own test suite, tempest, unmodified, against Hanok, and compares what passes with
# tests/tempest/passing.txt: a test in that list that fails makes this fail.
#   tempest.sh [--scenario] [--update] [--against DATA] [REGEX]
# --scenario  scenarios with real guests (needs root) instead of the API tests over simulated hosts
# --update    adds the tests that pass and are not in the list; of a whole run, also writes what the reference says
# --against   a Hanok that runs already, by its data directory; else one is started, and wiped at the end
#             (web-download then fetches from where tempest has it by default, which has to be allowed)
# REGEX       only the tests that match
# Scope that is not built yet is switched off by tempest's feature flags in tests/tempest/*.conf; no
# expectation is edited. HANOK is the program (target/debug/hanok, built first); JOBS how many at a time (3).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$root/tests/tempest
say() { echo "tempest: $*" >&2; }
die() { say "$*"; exit 1; }

kind=api update=() data='' regex=''
while [ $# -gt 0 ]; do
  case $1 in
    --scenario) kind=scenario ;;
    --update) update=(--update) ;;
    --against) data=${2:?--against needs a data directory}; shift ;;
    -*) sed -n '2,11p' "$0" >&2; exit 2 ;;
    *) regex=$1 ;;
  esac
  shift
done
case $kind in
  api) all='^tempest\.api\.(identity|image|compute|network)\.' ;;
  scenario) all='^tempest\.scenario\.test_(minimum_basic|snapshot_pattern|shelve_instance|network_basic_ops|network_advanced_server_ops|network_v6|security_groups_basic_ops|server_advanced_ops|server_basic_ops|server_multinode)\.|^tempest\.api\.compute\.(admin\.test_create_server|servers\.(test_create_server|test_server_personality|test_attach_interfaces|test_device_tagging|test_novnc|test_server_actions.*(console_output|vnc_console)))' ;;
esac

venv=$("$root/scripts/python-venv.sh" "$here/requirements.txt" "${HANOK_VENV:-$root/.venv}-tempest")
work=$(mktemp -d /tmp/hanok-tempest.XXXXXX)
started=
www=
stop() {
  trap - EXIT
  [ -z "$www" ] || kill "$www" 2> /dev/null || true
  if [ -n "$started" ]; then
    "$hanok" down --wipe --data "$data" > /dev/null 2>> "$work/hanok.log" || say "could not wipe $data; see $work/hanok.log"
    wait "$started" || true
  fi
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "$data" ]; then
  hanok=${HANOK:-}
  if [ -z "$hanok" ]; then
    say "building"
    (cd "$root" && cargo build --quiet -p hanok)
    hanok=${CARGO_TARGET_DIR:-$root/target}/debug/hanok
  fi
  data=$work/data
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  # An external network that this machine does not have yet.
  for net in $(seq 230 254); do ip -4 -o address 2>/dev/null | grep -q " 172\.24\.$net\." || break; done
  case $kind in
    api) role=(dev --hosts 2) ;;
    scenario) role=(up) ;;
  esac
  # A web server that images are imported from, which stands on a private address.
  mkdir "$work/www"
  qemu-img create -q -f qcow2 "$work/www/disk.qcow2" 1M
  web=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  python3 -m http.server --bind 127.0.0.1 --directory "$work/www" "$web" > "$work/www.log" 2>&1 &
  www=$!
  printf '[image]\ndownload_hosts = ["127.0.0.1"]\ndownload_ports = [%s]\n' "$web" > "$work/hanok.toml"
  cat "$here/hanok.toml" >> "$work/hanok.toml"
  say "starting hanok ${role[*]}"
  HANOK_CONFIG="$work/hanok.toml" "$hanok" "${role[@]}" --data "$data" --listen "127.0.0.1:$port" --public "172.24.$net.1/24" \
    > "$work/hanok.out" 2>> "$work/hanok.log" &
  started=$!
  until grep -qx ready "$work/hanok.out"; do
    kill -0 "$started" 2> /dev/null || { started=; cat "$work/hanok.log" >&2; die "it did not start"; }
    sleep 0.2
  done
fi

"$venv/bin/tempest" init --workspace-path "$work/workspaces.yaml" "$work/run" > "$work/init.txt" 2>&1 ||
  { cat "$work/init.txt" >&2; die "tempest init failed"; }
cd "$work/run"
"$venv/bin/python" "$here/configure.py" "$data" "$here/$kind.conf" ${web:+"http://127.0.0.1:$web/disk.qcow2"} > "$work/tempest.conf"
say "running${regex:+ $regex} (log and configuration in $work)"
status=0
"$venv/bin/tempest" run --config-file "$work/tempest.conf" --concurrency "${JOBS:-3}" \
  --regex "${regex:-$all}" > "$work/run.txt" 2>&1 || status=$?
# 1 is for tests that fail: the list decides which of them may.
[ "$status" -le 1 ] || { tail -n 50 "$work/run.txt" >&2; die "tempest ended with $status"; }
"$venv/bin/stestr" last --subunit > "$work/subunit" 2> /dev/null || true
"$venv/bin/stestr" list "${regex:-$all}" > "$work/chosen.txt" 2> /dev/null || true
if [ ${#update[@]} -gt 0 ] && [ -z "$regex" ]; then update+=(--table "$root/docs/reference/tempest-$kind.txt"); fi
"$venv/bin/python" "$here/compare.py" "$work/subunit" "$work/chosen.txt" "$here/passing.txt" "${regex:-$all}" "$work" "${update[@]}"
