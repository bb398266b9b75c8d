#!/bin/sh
# What it takes to choose a host for one server among 10,000: prints medians, by what the server asks for.
set -eu
cd "$(dirname "$0")/.."
exec cargo nextest run --release --locked -p hanok-compute --lib --run-ignored only --no-capture the_time_to_choose
