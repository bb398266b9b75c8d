"""python-libmaas, unmodified, through the life of simulated machines: client.py URL ADMIN-KEY USER-KEY DATABASE

The machines are found by their racks, and everything that happens to them happens through the API. The database is
written once: what stands on the disk of a deployed machine, its own key, cannot be read from outside.
"""

import hashlib
import sqlite3
import sys
import time

from maas.client import connect
from maas.client.bones import CallError
from maas.client.enum import IPRangeType, LinkMode, NodeStatus, PowerState
from maas.client.viscera.machines import MachineNotFound

url, admin_key, user_key, database = sys.argv[1:]
admin = connect(f"{url}/MAAS/", apikey=admin_key)
user = connect(f"{url}/MAAS/", apikey=user_key)


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


def until(what, call, seconds=120):
    """Waits for what a machine does by itself."""
    end = time.monotonic() + seconds
    while not (got := call()):
        assert time.monotonic() < end, what
        time.sleep(0.5)
    return got


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

# A user comes, works with a password, and goes.
ann = admin.users.create("ann", "a good secret", email="ann@example.com")
same((ann.username, ann.is_admin), ("ann", False))
refused(400, admin.users.create, "ann", "a good secret")
refused(403, user.users.create, "bob", "a good secret")

# Machines show themselves, are measured, and get names.
found = until("three machines are found", lambda: [m for m in admin.machines.list() if m.cpus == 8][2:] and admin.machines.list())
same({m.status for m in found}, {NodeStatus.NEW})
for n, machine in enumerate(sorted(found, key=lambda m: m.hostname), 1):
    machine.hostname = f"pc-{n}"
    machine.save()
ids = {m.hostname: m.system_id for m in admin.machines.list()}
same(sorted(ids), ["pc-1", "pc-2", "pc-3"])
same(list(user.machines.list()), [])
for name, system_id in ids.items():
    admin.machines.get(system_id).commission(testing_scripts=["cpu", "memory"], wait=True, wait_interval=1)
same({m.status for m in user.machines.list()}, {NodeStatus.READY})

# Somebody knows one before it shows itself.
made = admin.machines.create(
    "amd64/generic", ["52:54:00:00:01:01"], "manual", power_parameters={}, hostname="pc-later", domain="metal"
)
same((made.hostname, made.status), ("pc-later", NodeStatus.COMMISSIONING))
made.abort()
same(admin.machines.get(made.system_id).status, NodeStatus.NEW)
made.delete()
same(len(admin.machines.list()), 3)

# What it is made of and where it stands.
machine = admin.machines.get(ids["pc-1"])
same((machine.cpus, machine.architecture), (8, "amd64/generic"))
assert machine.memory > 0 and machine.block_devices and machine.interfaces[0].mac_address.startswith("52:54:ac")
same((machine.zone.name, machine.pool.name), ("default", "default"))
assert machine.query_power_state() in (PowerState.ON, PowerState.OFF)
assert machine.get_details()["lshw"] is None
refused(403, user.machines.get(ids["pc-1"]).get_power_parameters)
machine.owner_data["rack"] = "left"
machine.save()
same(admin.machines.get(ids["pc-1"]).owner_data, {"rack": "left"})
for listed in (admin.devices, admin.tags, admin.boot_sources, admin.rack_controllers, admin.region_controllers, admin.files):
    listed.list() if hasattr(listed, "list") else listed.read()

# Its network is set up: the fabric is the segment that its rack has found it on.
fabric = next(f for f in admin.fabrics.list() if f.id == machine.interfaces[0].vlan.fabric.id)
space = admin.spaces.create(name="inner")
vlan = fabric.vlans.get_default() if hasattr(fabric.vlans, "get_default") else fabric.vlans[0]
vlan.space = space
vlan.mtu = 9000
vlan.save()
same(admin.vlans.get(fabric.id, 0).mtu, 9000) if hasattr(admin, "vlans") else None
subnet = admin.subnets.create("10.77.0.0/24", vlan.id, name="lab", gateway_ip="10.77.0.254", dns_servers=["10.77.0.3"])
same((subnet.name, subnet.gateway_ip, subnet.space, subnet.dns_servers), ("lab", "10.77.0.254", "inner", ["10.77.0.3"]))
subnet.name = "lab-1"
subnet.save()
same(admin.subnets.get(subnet.id).name, "lab-1")
dynamic = admin.ip_ranges.create("10.77.0.100", "10.77.0.199", type=IPRangeType.DYNAMIC, subnet=subnet)
refused(400, admin.ip_ranges.create, "10.77.0.150", "10.77.0.160", type=IPRangeType.RESERVED, subnet=subnet)
refused(403, user.ip_ranges.create, "10.77.0.10", "10.77.0.20", type=IPRangeType.RESERVED, subnet=subnet)
far = admin.subnets.create("10.78.0.0/24", vlan.id)
route = admin.static_routes.create(far, subnet, "10.77.0.253", 5)
same((route.gateway_ip, route.metric), ("10.77.0.253", 5))
route.delete()
far.delete()
other = admin.fabrics.create(name="annex")
tagged = other.vlans.create(30, name="guests", space=space)
same((tagged.vid, tagged.name, tagged.space.name), (30, "guests", "inner"))
tagged.delete()
other.delete()
domain = admin.domains.create("lab.example", ttl=60)
same((domain.name, domain.authoritative, domain.ttl), ("lab.example", True, 60))
domain.delete()

# The address that pc-1 is to have.
interface = admin.machines.get(ids["pc-1"]).interfaces[0]
link = interface.links.create(LinkMode.STATIC, subnet, "10.77.0.40")
same((link.mode, link.ip_address), (LinkMode.STATIC, "10.77.0.40"))
same(admin.machines.get(ids["pc-1"]).ip_addresses, ["10.77.0.40"])
admin.machines.get(ids["pc-1"]).interfaces[0].links[0].delete()
same(admin.machines.get(ids["pc-1"]).ip_addresses, [])

# Words on machines, and where they stand.
tag = admin.tags.create("fast", comment="the new ones")
machine = admin.machines.get(ids["pc-1"])
machine.tags.add(tag)
assert "fast" in [t.name for t in admin.machines.get(ids["pc-1"]).tags]
machine.tags.remove(tag)
tag.delete()
refused(403, user.tags.create, "mine")
zone, pool = admin.zones.create("left", description="by the window"), admin.resource_pools.create("team")
machine.zone, machine.pool = zone, pool
machine.save()
machine = admin.machines.get(ids["pc-1"])
same((machine.zone.name, machine.pool.name), ("left", "team"))
zone.delete()
pool.delete()
machine = admin.machines.get(ids["pc-1"])
same((machine.zone.name, machine.pool.name), ("default", "default"))

# One is given out, written, and taken back.
none_found(cpus=64)
got = user.machines.allocate(hostname="pc-2", cpus=2, memory=1024)
same((got.hostname, got.status, got.owner.username if got.owner else None), ("pc-2", NodeStatus.ALLOCATED, "demo"))
none_found(hostname="pc-2")
refused(400, got.deploy, distro_series="nothing", wait=False)
got.deploy(distro_series="mini", user_data=b"#cloud-config\n{}\n", wait=True, wait_interval=1)
got = user.machines.get(got.system_id)
same((got.status, got.distro_series, got.status_name), (NodeStatus.DEPLOYED, "mini", "Deployed"))
got.lock()
refused(409, got.release)
got.unlock()
refused(403, user.machines.get(got.system_id).mark_fixed)
got.release(wait=True, wait_interval=1, erase=True, quick_erase=True)
same(user.machines.get(got.system_id).status, NodeStatus.READY)
assert any(e.hostname == "pc-2" for e in admin.events.query(limit=50))

# Somebody else's is not there, and out of use is nobody's.
theirs = admin.machines.allocate(hostname="pc-3")
refused(404, user.machines.get, theirs.system_id)
machine = admin.machines.get(ids["pc-1"])
machine.mark_broken(comment="the fan")
same(admin.machines.get(ids["pc-1"]).status, NodeStatus.BROKEN)
admin.machines.get(ids["pc-1"]).mark_fixed()
same(admin.machines.get(ids["pc-1"]).status, NodeStatus.READY)
machine = admin.machines.get(ids["pc-1"])
machine.enter_rescue_mode(wait=True, wait_interval=1)
same(admin.machines.get(ids["pc-1"]).status, NodeStatus.RESCUE_MODE)
machine.exit_rescue_mode(wait=True, wait_interval=1)
same(admin.machines.get(ids["pc-1"]).status, NodeStatus.READY)
machine.power_off(wait=True, wait_interval=1)
same(admin.machines.get(ids["pc-1"]).query_power_state(), PowerState.OFF)

# A deployed machine, with the key that the cloud-init that is tried next has on its disk.
theirs.deploy(distro_series="mini", wait=True, wait_interval=1)
secret = hashlib.sha256(b"secret").hexdigest()
with sqlite3.connect(database, timeout=30) as db:
    machine_id = db.execute("SELECT id FROM machine WHERE system_id = ?", [theirs.system_id]).fetchone()[0]
    row = [machine_id, "token", "consumer", secret, int(time.time() * 1e6)]
    db.execute("INSERT INTO maas_node_key VALUES (?, ?, ?, ?, ?)", row)
print(theirs.system_id)
