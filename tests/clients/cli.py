"""The `openstack` client, verb by verb, in one process: a start of its own for each would take a second.

    cli.py LINES WORK-DIRECTORY

A line is `CLOUD: COMMAND`; with `!` before it the command must fail, and `NAME = CLOUD: COMMAND` keeps the one
value that it prints for `$NAME` in later lines. `$WORK` is the directory. A command that still waits
for something is tried again for a while when its line starts with `~`.
"""

import contextlib
import io
import os
import pathlib
import re
import shlex
import sys
import time

from openstackclient import shell
from openstackclient.common.clientmanager import ClientManager
from osc_lib.clientmanager import ClientCache

PATIENCE = 60


def run(cloud, words):
    """Exit status and what was printed."""
    os.environ["OS_CLOUD"] = cloud
    # The program keeps its sessions in the class, since it ends with its command.
    for kept in (v for c in ClientManager.__mro__ for v in vars(c).values() if isinstance(v, ClientCache)):
        kept._handle = None
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status = shell.main(words)
        except SystemExit as end:
            status = end.code or 0
    return status, out.getvalue()


def main():
    lines, work = pathlib.Path(sys.argv[1]).read_text().splitlines(), sys.argv[2]
    kept = {"WORK": work}
    bad = count = 0
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([!~])? *(?:(\w+) = )?(\w+): (.*)", line)
        if not match:
            sys.exit(f"line {number} is no command: {line}")
        mark, name, cloud, command = match.groups()
        command = re.sub(r"\$(\w+)", lambda m: kept[m[1]], command)
        words = shlex.split(command) + (["-f", "value"] if name else [])
        end = time.monotonic() + PATIENCE
        status, said = run(cloud, words)
        while mark == "~" and status != 0 and time.monotonic() < end:
            time.sleep(0.2)
            status, said = run(cloud, words)
        if name:
            kept[name] = said.strip()
        count += 1
        if (status != 0) != (mark == "!"):
            bad += 1
            print(f"line {number}: {line}: exit status {status}\n{said.rstrip()}")
    print(f"{count - bad} of {count} commands as they should be")
    sys.exit(1 if bad else 0)


main()
