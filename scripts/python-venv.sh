#!/bin/bash
# Makes a Python environment with the pinned packages of a requirements file, and prints its path.
#   python-venv.sh [REQUIREMENTS [DIR]]
# By default the OpenStack client of the tests (requirements-test.txt) in .venv, or where $HANOK_VENV says.
# Quick when it is already there: the environment remembers what it was made from.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
requirements=${1:-$here/requirements-test.txt}
venv=${2:-${HANOK_VENV:-$(dirname "$here")/.venv}}
mkdir -p "$(dirname "$venv")"
venv=$(realpath -m "$venv")

# Two test runs may start at the same time.
exec 9< "$requirements"
flock 9
if cmp -s "$requirements" "$venv/made-from" && [ -x "$venv/bin/python" ]; then
  echo "$venv"
  exit 0
fi
say() { echo "python-venv: $*" >&2; }
say "installing $(basename "$requirements") in $venv (once)"
rm -rf "$venv"
python3 -m venv "$venv" || { say "python3 -m venv does not work here; apt-get install python3-venv"; exit 1; }
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --requirement "$requirements" >&2 ||
  { say "the packages could not be installed; the lines above say why"; exit 1; }
cp "$requirements" "$venv/made-from"
echo "$venv"
