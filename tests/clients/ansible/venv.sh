#!/bin/bash
# Makes the Python environment of the Ansible test, and prints its path: openstacksdk and ansible-core from
# requirements.txt, and in collections/ the collection openstack.cloud.
# Ansible Galaxy is not needed: PyPI's package `ansible` carries the collection, and only that is kept of it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
requirements=$here/requirements.txt
venv=$("$root/scripts/python-venv.sh" "$requirements" "${HANOK_VENV:-$root/.venv}-ansible")

exec 9< "$requirements"
flock 9
if [ ! -e "$venv/collections/whole" ]; then
  from=$(sed -n 's/^# collection openstack.cloud from \([^ ]*\).*/\1/p' "$requirements")
  echo "ansible/venv.sh: taking openstack.cloud out of $from (once)" >&2
  wheel=$(mktemp -d)
  trap 'rm -rf "$wheel"' EXIT
  "$venv/bin/pip" download --quiet --disable-pip-version-check --no-input --no-deps --dest "$wheel" "$from" >&2
  "$venv/bin/python" - "$wheel" "$venv/collections" << 'PYTHON'
import pathlib, sys, zipfile

(wheel,) = pathlib.Path(sys.argv[1]).glob("*.whl")
with zipfile.ZipFile(wheel) as file:
    wanted = [n for n in file.namelist() if n.startswith("ansible_collections/openstack/cloud/")]
    if not wanted:
        sys.exit(f"{wheel.name} has no openstack.cloud")
    file.extractall(sys.argv[2], wanted)
PYTHON
  touch "$venv/collections/whole"
fi
echo "$venv"
