"""Runs the `openstack` command, again and again: client.py SOCKET, until the standard input ends.

Reading its modules takes ten times as long as most of what it is asked, so they are read once, and each command is a
fork of that: the client's own entry point with its arguments, no input, and the exit status that it chose.

A request is a JSON line, {"cloud": …, "args": […]}; the answer {"status": …, "stdout": …, "stderr": …}, the status as
wait(2) has it.
"""
import gc
import importlib.metadata
import json
import os
import select
import socket
import sys
import tempfile

place = sys.argv[1]
# What it calls itself is looked up once.
sys.argv = ["openstack"]

from openstackclient import shell  # noqa: E402

for group in importlib.metadata.entry_points().groups:
    if group.startswith("openstack."):
        for entry in importlib.metadata.entry_points(group=group):
            try:
                entry.load()
            except ImportError:
                pass  # The client says so itself when it is needed.


def become(request, out, err):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    os.environ["OS_CLOUD"] = request["cloud"]
    sys.argv = ["openstack", *request["args"]]
    try:
        status = shell.main()
    except SystemExit as end:
        # What exit(3) makes of it: nothing is success, words are an error.
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    # Tidying up would copy every page that is shared with the other forks.
    os._exit(status)


def serve(door):
    """Answers requests, each in a fork; comes back in the fork that is to be the client."""
    while True:
        ready = select.select([door, sys.stdin], [], [])[0]
        if sys.stdin in ready:
            os._exit(0)
        caller = door.accept()[0]
        if os.fork():
            caller.close()
            while True:
                try:
                    if os.waitpid(-1, os.WNOHANG)[0] == 0:
                        break
                except ChildProcessError:
                    break
            continue
        request = json.loads(caller.makefile().readline())
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        client = os.fork()
        if not client:
            caller.close()
            door.close()
            return request, out, err
        answer = {"status": os.waitpid(client, 0)[1]}
        for name, file in (("stdout", out), ("stderr", err)):
            file.seek(0)
            answer[name] = file.read().decode(errors="replace")
        caller.sendall(json.dumps(answer).encode())
        os._exit(0)


# Nor does a fork look through what it has from here.
gc.collect()
gc.freeze()
door = socket.socket(socket.AF_UNIX)
door.bind(place)
door.listen(64)
print("ready", flush=True)
become(*serve(door))
