#!/bin/bash
# Builds the portal's pages from portal/ui into portal/ui/dist, where the program takes them in. Does nothing when
# nothing has changed; without npm it says so, and the program is built without its pages.
#   scripts/portal.sh          build
#   scripts/portal.sh lint     types of the pages
#   scripts/portal.sh test     their unit tests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../portal/ui"

if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
  echo "portal: npm is not here, so the program is built without the portal's pages (everything else works)." >&2
  echo "portal: install Node 20 or newer with npm (nodejs.org; Debian 12 has 18), and run this again, to have them." >&2
  exit 0
fi
if [ "$(node -p 'parseInt(process.versions.node)')" -lt 20 ]; then
  echo "portal: Node $(node -p process.versions.node) is too old, the pages need 20 or newer (nodejs.org; Debian 12 has 18); going on without them." >&2
  exit 0
fi

# Everything that the pages are made of, by content: a build from the same is not made twice.
stamp=$(find . \( -path ./node_modules -o -path ./dist -o -path ./e2e -o -path ./src/fonts \) -prune -o -type f -print0 \
  | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
lock=$(sha256sum package-lock.json | cut -d' ' -f1)
if [ "$(cat node_modules/.hanok-lock 2>/dev/null)" != "$lock" ]; then
  npm ci --no-audit --no-fund --loglevel=error
  echo "$lock" > node_modules/.hanok-lock
fi
case "${1:-build}" in
  lint)
    node scripts/fonts.mjs
    exec npm run --silent check ;;
  test) exec npm run --silent test ;;
esac
if [ ! -f dist/index.html ] || [ "$(cat node_modules/.hanok-built 2>/dev/null)" != "$stamp" ]; then
  npm run --silent build
  echo "$stamp" > node_modules/.hanok-built
fi
