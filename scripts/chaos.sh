#!/bin/bash
# The long way of the chaos: real guests on three hosts, and faults one upon the other. Needs root.
#   chaos.sh [FAULTS [SEED]]     500 and 7 by default; some three seconds a fault
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HANOK_FAULTS=${1:-500} HANOK_SEED=${2:-7}
# Not by nextest, which ends what takes longer than a test should.
exec cargo test --locked -p hanok --test it -- --exact up_chaos::nothing_is_lost_whatever_dies --nocapture
