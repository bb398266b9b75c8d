#!/bin/bash
# Runs the playbooks against the cloud of OS_CLIENT_CONFIG_FILE (clouds.yaml of a data directory): team.yml
# twice, look.yml, gone.yml and gone-admin.yml twice. A second run that changes anything is a failure.
#   run.sh WORK-DIRECTORY
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${1:?a directory for what it writes}
venv=$("$here/venv.sh")

: "${OS_CLIENT_CONFIG_FILE:?names the clouds.yaml of a running Hanok}"
export ANSIBLE_HOME=$work/ansible ANSIBLE_COLLECTIONS_PATH=$venv/collections ANSIBLE_NOCOLOR=1
export ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_INVENTORY_UNPARSED_WARNING=false ANSIBLE_PIPELINING=true
auth_url=$(sed -n 's/^ *auth_url: //p' "$OS_CLIENT_CONFIG_FILE" | head -n 1)
head -c 300000 /dev/urandom > "$work/image.raw"
[ -e "$work/key" ] || ssh-keygen -q -t ed25519 -N '' -C lab -f "$work/key"
cat > "$work/vars.yml" << VARS
ansible_python_interpreter: $venv/bin/python
secret: lab-secret-1
image_file: $work/image.raw
public_key: $(cat "$work/key.pub")
team:
  auth:
    auth_url: $auth_url
    username: lee
    password: lab-secret-1
    project_name: lab
    user_domain_name: Default
    project_domain_name: Default
  region_name: RegionOne
VARS

play() {
  "$venv/bin/ansible-playbook" -c local -i localhost, -e "@$work/vars.yml" "$here/$1" > "$work/out.txt" 2>&1 ||
    { cat "$work/out.txt"; echo "$1 failed" >&2; exit 1; }
  recap=$(sed -n 's/^localhost .*: *//p' "$work/out.txt" | tr -s ' ')
  echo "$1: $recap"
}
# What a run changed must be $2: all of its tasks, or nothing.
changes() {
  play "$1"
  case $2 in
    all) grep -q '^ok: ' "$work/out.txt" || return 0 ;;
    none) grep -q '^changed: ' "$work/out.txt" || return 0 ;;
  esac
  cat "$work/out.txt"
  echo "$1 should have changed $2" >&2
  exit 1
}
changes team.yml all
changes team.yml none
play look.yml
changes gone.yml all
changes gone.yml none
changes gone-admin.yml all
changes gone-admin.yml none
