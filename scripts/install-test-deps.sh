#!/bin/bash
# Installs what the tests need and is missing, from Debian and crates.io. Asks nothing; does nothing,
# not even `apt-get update`, when all is there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# What a cloud itself needs.
"$root/scripts/install-deps.sh"

# It runs the tests.
cargo nextest --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-nextest --version 0.9.143

# Guests and their networks; clients; PostgreSQL for the store's tests; a browser for the portal's, with a Korean face;
# an office's file server.
packages="qemu-system-x86 qemu-utils iproute2 nftables conntrack busybox genisoimage
  openssh-client iputils-ping bsdutils dnsmasq-base openipmi ipmitool ovmf python3 python3-venv procps util-linux
  postgresql chromium fonts-noto-cjk nfs-ganesha nfs-ganesha-vfs gdisk"
# What the recipes of the images say that they need.
packages="$packages $(sed -n 's/^# needs: //p' "$root"/images/*/build.sh)"

# A running database server is not needed, so the package must not start one.
if [ ! -e /etc/postgresql-common/createcluster.conf ] && ! command -v pg_createcluster >/dev/null; then
  as_root mkdir -p /etc/postgresql-common
  echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
# Nor is a file server; nfs-ganesha brings a unit that is masked here before it is there.
if [ ! -e /etc/systemd/system/nfs-ganesha.service ] && ! command -v ganesha.nfsd >/dev/null; then
  as_root mkdir -p /etc/systemd/system
  as_root ln -s /dev/null /etc/systemd/system/nfs-ganesha.service
fi
# shellcheck disable=SC2086
exec "$root/scripts/debian.sh" $(tr ' ' '\n' <<< "$packages" | sort -u)
