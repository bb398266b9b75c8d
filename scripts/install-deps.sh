#!/bin/bash
# Installs what a cloud on this machine needs from Debian: guests, networks, and a C compiler for the
# build. Quick when everything is there; asks nothing.
set -euo pipefail

packages="gcc libc6-dev qemu-system-x86 qemu-utils seabios iproute2 nftables conntrack genisoimage ipxe curl"
missing=""
for p in $packages; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

sudo=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "Run this as root; it has to install:$missing" >&2; exit 1; }
  sudo="sudo"
fi
echo "installing from Debian:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >/dev/null
