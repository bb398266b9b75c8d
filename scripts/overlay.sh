#!/bin/sh
# What filters and routers cost between hosts: prints Gbit/s and ratios against bare VXLAN. Needs root.
set -eu
cd "$(dirname "$0")/.."
exec cargo nextest run --release --locked -p hanok-agent --lib --run-ignored only --no-capture the_price_of
