#!/bin/bash
# MAAS's own client from PyPI and Debian's cloud-init, both unmodified, against the region of DIR: run.sh DIR
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
dir=$1
venv=$("$root/scripts/python-venv.sh" "$here/requirements.txt" "${HANOK_VENV:-$root/.venv}-maas")
url=$(grep -om1 'http[^ "]*/identity' "$dir/data/clouds.yaml" | sed 's|/identity$||')
key() { hanok admin maas-key "$1" --data "$dir/data" 2> /dev/null; }
admin=$(key admin)
id=$("$venv/bin/python" "$here/client.py" "$url" "$admin" "$(key demo)" "$dir/data/hanok.db" | tail -n 1)

# The same through its command, which keeps its profiles in $HOME.
export HOME=$dir/home
mkdir -p "$HOME"
maas=$venv/bin/maas
"$maas" login -p hanok --apikey "$admin" "$url/MAAS/" < /dev/null
"$maas" machines > "$dir/machines"
grep -q pc-1 "$dir/machines"
"$maas" login -p password "$url/MAAS/" demo "$(cat "$dir/data/demo-password")" < /dev/null
"$maas" machines > "$dir/own-machines"
grep -q pc-2 "$dir/own-machines"

bash "$here/cloudinit.sh" "$url" "$id" "$venv" "$dir"
