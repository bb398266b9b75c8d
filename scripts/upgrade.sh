#!/bin/bash
# Builds the release before and runs this one beside it, with real guests. Needs root.
#   upgrade.sh [COMMIT]     the release before; HEAD^ by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
commit=${1:-HEAD^}
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/previous
tree=$(mktemp -d)
trap 'git worktree remove --force "$tree"' EXIT
git worktree add --quiet --detach "$tree" "$commit"
(cd "$tree" && cargo build --locked --quiet -p hanok --target-dir "$target")
HANOK_PREVIOUS=$target/debug/hanok cargo nextest run --locked -p hanok --test it --no-capture up_upgrade
