#!/bin/bash
# Installs the Debian packages that are named and not there. Quick when all are; asks nothing.
#   scripts/debian.sh PACKAGE...
set -euo pipefail

missing() {
  for p in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || printf ' %s' "$p"
  done
}

sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
export DEBIAN_FRONTEND=noninteractive
# Twice: apt may take away what was there in another release (qemu-utils of backports, when the QEMU of stable
# comes), and then puts this release's in its place.
for _ in 1 2; do
  missing=$(missing "$@")
  [ -n "$missing" ] || exit 0
  if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
    echo "Run this as root; it has to install:$missing" >&2
    exit 1
  fi
  echo "installing from Debian:$missing" >&2
  $sudo apt-get update -qq -o DPkg::Lock::Timeout=300
  # shellcheck disable=SC2086
  $sudo apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >/dev/null
done
missing=$(missing "$@")
[ -z "$missing" ] || { echo "Debian's packages exclude each other here; install these by hand:$missing" >&2; exit 1; }
