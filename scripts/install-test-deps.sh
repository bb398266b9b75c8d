#!/bin/bash
# Installs what the tests need and is missing, from Debian and crates.io. Asks nothing; does nothing,
# not even `apt-get update`, when all is there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What a cloud itself needs.
"$root/scripts/install-deps.sh"

# It runs the tests.
cargo nextest --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-nextest --version 0.9.143

# Guests and their networks; clients; PostgreSQL for the store's tests; a browser for the portal's, with a Korean face;
# an office's file server.
packages="qemu-system-x86 qemu-utils iproute2 nftables conntrack busybox genisoimage
  openssh-client iputils-ping bsdutils dnsmasq-base openipmi ipmitool ovmf python3 python3-venv procps util-linux
  postgresql chromium fonts-noto-cjk nfs-ganesha nfs-ganesha-vfs"
# What the recipes of the images say that they need.
packages="$packages $(sed -n 's/^# needs: //p' "$root"/images/*/build.sh)"

missing=
for package in $(tr ' ' '\n' <<< "$packages" | sort -u); do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

say() { echo "install-test-deps: $*" >&2; }
if [ "$(id -u)" != 0 ]; then
  say "missing:$missing"
  say "run it as root, or: sudo apt-get install -y --no-install-recommends$missing"
  exit 1
fi
say "installing$missing"
export DEBIAN_FRONTEND=noninteractive
# A running database server is not needed, so the package must not start one.
if [ ! -e /etc/postgresql-common/createcluster.conf ] && [[ " $missing " == *" postgresql "* ]]; then
  mkdir -p /etc/postgresql-common
  echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
fi
# Nor is a file server; nfs-ganesha brings a unit that is masked here before it is there.
if [ ! -e /etc/systemd/system/nfs-ganesha.service ] && [[ " $missing " == *" nfs-ganesha "* ]]; then
  mkdir -p /etc/systemd/system
  ln -s /dev/null /etc/systemd/system/nfs-ganesha.service
fi
apt-get update -q -o DPkg::Lock::Timeout=300 >&2
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >&2
