"""python-libmaas, unmodified, through the life of machines: client.py URL ADMIN-KEY USER-KEY DATABASE

There are no machines here that boot, so what they would do between two calls is written into the database
(`becomes`): everything else goes through the API.
"""

import base64
import hashlib
import sqlite3
import sys
import time

from maas.client import connect
from maas.client.bones import CallError
from maas.client.enum import NodeStatus, PowerState
from maas.client.viscera.machines import MachineNotFound

url, admin_key, user_key, database = sys.argv[1:]
admin = connect(f"{url}/MAAS/", apikey=admin_key)
user = connect(f"{url}/MAAS/", apikey=user_key)


def sql(statement, *values):
    with sqlite3.connect(database, timeout=30) as db:
        return db.execute(statement, values).fetchall()


def becomes(system_id, status, more=""):
    sql(f"UPDATE machine SET status = ?{more} WHERE system_id = ?", int(status), system_id)


def refused(status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except CallError as error:
        assert error.status == status, (error.status, status, error)
    else:
        raise AssertionError(f"{call} was not refused")


def none_found(**wishes):
    try:
        got = user.machines.allocate(**wishes)
    except MachineNotFound:
        return
    raise AssertionError(f"{got} for {wishes}")


def same(a, b):
    assert a == b, f"{a!r} is not {b!r}"


# Who is who, and what there is.
same((admin.users.whoami().username, admin.users.whoami().is_admin), ("admin", True))
same((user.users.whoami().username, user.users.whoami().is_admin), ("demo", False))
same([u.username for u in admin.users.list()], ["admin", "demo"])
assert "authenticate-api" in admin.version.get().capabilities
same([z.name for z in admin.zones.list()], ["default"])
same([p.name for p in admin.resource_pools.list()], ["default"])
same(admin.maas.get_name(), "hanok")
admin.maas.set_name("room 7")
same(admin.maas.get_name(), "room 7")

# Machines that somebody enters.
for n in (1, 2, 3):
    made = admin.machines.create(
        "amd64/generic", [f"52:54:00:00:01:0{n}"], "manual", power_parameters={}, hostname=f"pc-{n}", domain="metal"
    )
    same(made.hostname, f"pc-{n}")
ids = {m.hostname: m.system_id for m in admin.machines.list()}
same(sorted(ids), ["pc-1", "pc-2", "pc-3"])
for name, system_id in ids.items():
    machine = admin.machines.get(system_id)
    if machine.status == NodeStatus.COMMISSIONING:
        machine.abort()
    becomes(system_id, NodeStatus.NEW)
    machine = admin.machines.get(system_id)
    machine.commission(wait=False)
    same(admin.machines.get(system_id).status, NodeStatus.COMMISSIONING)
    becomes(system_id, NodeStatus.READY, ", inventory_at = 1, cores = 4, memory_mib = 8192")
same({m.status for m in user.machines.list()}, {NodeStatus.READY})

# What it is made of and where it stands.
machine = admin.machines.get(ids["pc-1"])
same((machine.cpus, machine.memory, machine.architecture), (4, 8192, "amd64/generic"))
same(machine.interfaces[0].mac_address, "52:54:00:00:01:01")
same((machine.zone.name, machine.pool.name), ("default", "default"))
same(machine.get_power_parameters(), {})
same(machine.query_power_state(), PowerState.UNKNOWN)
assert machine.get_details()["lshw"] is None
for listed in (admin.fabrics, admin.subnets, admin.spaces, admin.devices, admin.tags, admin.boot_sources,
               admin.static_routes, admin.rack_controllers, admin.region_controllers, admin.files):
    listed.list() if hasattr(listed, "list") else listed.read()

# Words on machines.
tag = admin.tags.create("fast", comment="the new ones")
machine.tags.add(tag)
same([t.name for t in admin.machines.get(ids["pc-1"]).tags], ["fast"])
machine.tags.remove(tag)
tag.delete()
refused(403, user.tags.create, "mine")

# One is given out, written, and taken back.
none_found(cpus=64)
got = user.machines.allocate(hostname="pc-2", cpus=2, memory=1024)
same((got.hostname, got.status, got.owner.username if got.owner else None), ("pc-2", NodeStatus.ALLOCATED, "demo"))
none_found(hostname="pc-2")
refused(400, got.deploy, distro_series="nothing", wait=False)
got.deploy(distro_series="mini", user_data=b"#cloud-config\n{}\n", wait=False)
same(user.machines.get(got.system_id).status, NodeStatus.DEPLOYING)
same(user.machines.get(got.system_id).distro_series, "mini")
becomes(got.system_id, NodeStatus.DEPLOYED)
got = user.machines.get(got.system_id)
got.lock() if hasattr(got, "lock") else None
got.unlock() if hasattr(got, "unlock") else None
got.release(wait=False, erase=True, quick_erase=True)
assert user.machines.get(got.system_id).status in (NodeStatus.RELEASING, NodeStatus.DISK_ERASING)
assert any(e.hostname == "pc-2" for e in admin.events.query(limit=50))

# Somebody else's is not there, and out of use is nobody's.
theirs = admin.machines.allocate(hostname="pc-3")
refused(404, user.machines.get, theirs.system_id)
machine = admin.machines.get(ids["pc-1"])
machine.mark_broken(comment="the fan")
same(admin.machines.get(ids["pc-1"]).status, NodeStatus.BROKEN)
admin.machines.get(ids["pc-1"]).mark_fixed()
same(admin.machines.get(ids["pc-1"]).status, NodeStatus.READY)
admin.machines.get(ids["pc-1"]).enter_rescue_mode(wait=False)
same(admin.machines.get(ids["pc-1"]).status, NodeStatus.ENTERING_RESCUE_MODE)

# A key of a deployed machine for the cloud-init that is tried next.
machine_id = sql("SELECT id FROM machine WHERE system_id = ?", theirs.system_id)[0][0]
secret = hashlib.sha256(b"secret").hexdigest()
sql("INSERT INTO maas_node_key VALUES (?, 'token', 'consumer', ?, ?)", machine_id, secret, int(time.time() * 1e6))
print(theirs.system_id)
