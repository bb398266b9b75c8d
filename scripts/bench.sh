#!/bin/bash
# Figures of this machine, in one run: see bench/src/main.rs.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked -p hanok-bench
guests=""
[ "$(id -u)" != 0 ] || guests="guests"
exec target/release/hanok-bench target/release/hanok cloud disk machines $guests scale
