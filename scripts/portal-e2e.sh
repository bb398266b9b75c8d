#!/bin/bash
# Drives the portal in Debian's Chromium: over simulated hosts of its own, or of the region that HANOK_URL names (its
# passwords in HANOK_DATA). HANOK is the program, built after the pages (scripts/portal.sh). Without pages or
# Chromium it says what is missing and fails nothing.
#   scripts/portal-e2e.sh          all that needs no guest
#   scripts/portal-e2e.sh guests   the portal of a running `hanok up`: consoles are typed in, addresses are called
#   scripts/portal-e2e.sh machine  the same of one whose rack has found a machine: it is approved
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for need in node chromium; do
  command -v "$need" >/dev/null || { echo "portal-e2e: $need is not here; the pages are not driven." >&2; exit 0; }
done
[ -e "$root/portal/ui/node_modules/.hanok-lock" ] || {
  echo "portal-e2e: the pages were not built (scripts/portal.sh says why); they are not driven." >&2
  exit 0
}
exec node "$root/portal/ui/e2e/${1:-run}.mjs"
