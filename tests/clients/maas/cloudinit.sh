#!/bin/bash
# Debian's cloud-init, unmodified: its MAAS data source reads what a deployed machine is told.
#   cloudinit.sh URL SYSTEM-ID VENV DIR
set -euo pipefail
url=$1/MAAS/metadata id=$2 venv=$3 dir=$4
kept=$venv/cloud-init
if [ ! -d "$kept/usr" ]; then
  mkdir -p "$kept/deb"
  (cd "$kept/deb" && apt-get download -q cloud-init > /dev/null 2>&1)
  dpkg-deb -x "$kept"/deb/cloud-init_*.deb "$kept"
fi
source=(env PYTHONPATH="$kept/usr/lib/python3/dist-packages" "$venv/bin/python" -m cloudinit.sources.DataSourceMAAS)
key=(--ckey consumer --tkey token --csec '' --tsec secret)
"${source[@]}" "${key[@]}" check-seed "$url" | tee "$dir/seed"
grep -q "$id" "$dir/seed"
"${source[@]}" "${key[@]}" crawl "$url/2012-03-01/meta-data/" > "$dir/crawled" 2>&1
grep -q "$id" "$dir/crawled"
grep -q "local-hostname" "$dir/crawled"
# Another secret opens nothing.
if "${source[@]}" --ckey consumer --tkey token --csec '' --tsec other check-seed "$url" > "$dir/other" 2>&1 && grep -q "$id" "$dir/other"; then
  echo "a wrong secret was enough" >&2
  exit 1
fi
