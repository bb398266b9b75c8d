#!/bin/bash
# Installs what a cloud on this machine needs from Debian: guests, networks, and a C compiler for the
# build. Quick when everything is there; asks nothing.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/debian.sh" gcc libc6-dev qemu-system-x86 qemu-utils seabios iproute2 nftables \
  conntrack genisoimage ipxe curl
