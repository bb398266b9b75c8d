"""openstacksdk against a running Hanok of simulated hosts: what scripts, dashboards and Ansible are made of.

    sdk.py WORK-DIRECTORY [PART…]

Clouds come from OS_CLIENT_CONFIG_FILE: `hanok` is the administrator, `demo` a user.
"""

import hashlib
import os
import pathlib
import random
import subprocess
import sys

import openstack
from openstack import exceptions

WORK = pathlib.Path(sys.argv[1])
# Its settings would be mixed with those of logins of our own.
os.environ.pop("OS_CLOUD", None)
admin = openstack.connect(cloud="hanok")
demo = openstack.connect(cloud="demo")


def raises(kind, call, *args, **kwargs):
    """The error that a call ends with, which must be of this class."""
    try:
        result = call(*args, **kwargs)
        if hasattr(result, "__next__"):
            result = list(result)
    except exceptions.SDKException as error:
        assert isinstance(error, kind), f"{kind.__name__} expected, not {error!r}"
        return error
    raise AssertionError(f"{kind.__name__} expected, not {result!r}")


def names(items):
    return sorted(item.name for item in items)


def identity():
    project = admin.create_project(name="sdk", domain_id="default", description="first", colour="green")
    assert project.colour == "green" and project.is_enabled
    raises(exceptions.ConflictException, admin.create_project, name="sdk", domain_id="default")
    assert admin.update_project("sdk", description="second").description == "second"
    assert admin.get_project("sdk").id == project.id
    assert [p.id for p in admin.search_projects("sd*")] == [project.id]
    user = admin.create_user(
        name="sdk-user",
        password="sdk-secret-1",
        email="sdk@example.org",
        default_project="sdk",
        domain_id="default",
    )
    assert user.email == "sdk@example.org" and user.default_project_id == project.id
    assert admin.grant_role("member", user="sdk-user", project="sdk")
    assert not admin.grant_role("member", user="sdk-user", project="sdk"), "it was granted before"
    found = list(admin.identity.role_assignments(user_id=user.id, include_names=True))
    assert [a.role["name"] for a in found] == ["member"], found

    def login(password, name="sdk"):
        auth = {
            "auth_url": admin.session.auth.auth_url,
            "username": "sdk-user",
            "password": password,
            "project_name": name,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        return openstack.connect(auth=auth, region_name="RegionOne")

    own = login("sdk-secret-1")
    assert own.current_project.name == "sdk" and own.current_user_id == user.id
    raises(exceptions.ForbiddenException, own.create_project, name="more", domain_id="default")
    # A role that comes with a group.
    group = admin.create_group("sdk-group", "what a group may")
    admin.add_user_to_group("sdk-user", "sdk-group")
    assert admin.is_user_in_group("sdk-user", "sdk-group")
    admin.grant_role("reader", group="sdk-group", project="sdk")
    assert admin.identity.validate_group_has_project_role(project, group, admin.get_role("reader"))
    admin.revoke_role("reader", group="sdk-group", project="sdk")
    admin.remove_user_from_group("sdk-user", "sdk-group")
    admin.delete_group("sdk-group")
    # Application credentials.
    robot = own.identity.create_application_credential(user=user.id, name="robot")
    keyed = openstack.connect(
        auth_type="v3applicationcredential",
        auth={
            "auth_url": admin.session.auth.auth_url,
            "application_credential_id": robot.id,
            "application_credential_secret": robot.secret,
        },
        region_name="RegionOne",
    )
    assert keyed.current_project_id == project.id
    own.identity.delete_application_credential(user.id, robot)
    assert {s.type for s in admin.list_services()} >= {"identity", "compute", "image", "network"}
    assert len(admin.list_endpoints()) >= 4
    assert {r.name for r in admin.list_roles()} >= {"admin", "member", "reader"}
    admin.update_user("sdk-user", password="sdk-secret-2")
    assert login("sdk-secret-2").current_project_id == project.id
    assert admin.delete_user("sdk-user") and not admin.delete_user("sdk-user")
    assert admin.delete_project("sdk") and not admin.delete_project("sdk")
    raises(exceptions.NotFoundException, admin.identity.get_project, project.id)


def image():
    content = random.Random(7).randbytes(3_000_000)
    file = WORK / "sdk.raw"
    file.write_bytes(content)
    upload = {"filename": str(file), "disk_format": "raw", "wait": True, "validate_checksum": True}
    made = demo.create_image("sdk-image", purpose="test", min_disk=1, **upload)
    assert made.status == "active" and made.size == len(content) and made.properties["purpose"] == "test"
    shown = demo.image.get_image(made.id)
    assert shown.checksum == hashlib.md5(content).hexdigest()
    assert (shown.hash_algo, shown.hash_value) == ("sha512", hashlib.sha512(content).hexdigest())
    # The SDK knows its own upload by the checksums and does not send it twice.
    assert demo.create_image("sdk-image", **upload).id == made.id
    copy = WORK / "sdk.copy"
    demo.download_image("sdk-image", output_path=str(copy))
    assert copy.read_bytes() == content
    response = demo.image.download_image(made.id, stream=True)
    assert b"".join(response.iter_content(65536)) == content
    part = demo.image.get(f"/images/{made.id}/file", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20]), part.status_code

    demo.image.update_image(made, name="renamed", purpose="more", team="sdk")
    shown = demo.image.find_image("renamed")
    assert shown.properties["purpose"] == "more" and shown.properties["team"] == "sdk", shown
    demo.image.update_image_properties(shown, purpose="again")
    assert demo.image.get_image(made.id).properties["purpose"] == "again"
    demo.image.add_tag(made, "blue")
    assert [i.id for i in demo.image.images(tag="blue")] == [made.id]
    demo.image.remove_tag(made, "blue")
    assert demo.image.find_image("nothing-of-that-name") is None
    raises(exceptions.NotFoundException, demo.image.get_image, "5e5c0b2e-0000-4000-8000-000000000000")
    raises(exceptions.ForbiddenException, demo.image.delete_image, demo.get_image("mini").id)

    # Shared with another project, taken and given back.
    there = admin.current_project_id
    demo.image.add_member(made, member_id=there)
    admin.image.update_member(there, made, status="accepted")
    assert made.id in [i.id for i in admin.image.images(visibility="shared", member_status="accepted")]
    assert [m.status for m in demo.image.members(made)] == ["accepted"]
    demo.image.remove_member(there, made)
    demo.image.deactivate_image(made)
    assert demo.image.get(f"/images/{made.id}/file").status_code == 403
    demo.image.reactivate_image(made)

    # Pages: the SDK follows `next` until there is no more.
    for n in range(7):
        demo.image.create_image(f"page-{n}", disk_format="raw", container_format="bare", allow_duplicates=True)
    paged = [i.name for i in demo.image.images(limit=2, sort="name:asc") if i.name.startswith("page-")]
    assert paged == [f"page-{n}" for n in range(7)], paged
    for n in range(7):
        assert demo.delete_image(f"page-{n}")
    assert demo.delete_image("renamed", wait=True) and not demo.delete_image("renamed")


def network():
    net = demo.create_network("sdk-net")
    raises(exceptions.BadRequestException, demo.create_subnet, "sdk-net", cidr="300.0.0.0/8", ip_version=4)
    subnet = demo.create_subnet(
        "sdk-net", cidr="10.61.0.0/24", subnet_name="sdk-subnet", enable_dhcp=True, dns_nameservers=["192.0.2.53"]
    )
    assert subnet.gateway_ip == "10.61.0.1"
    assert demo.update_subnet("sdk-subnet", dns_nameservers=["192.0.2.54"]).dns_nameservers == ["192.0.2.54"]
    ports = [demo.create_port(net.id, name=f"sdk-port-{n}") for n in range(5)]
    taken = ports[0].fixed_ips[0]["ip_address"]
    raises(exceptions.ConflictException, demo.create_port, net.id, fixed_ips=[{"ip_address": taken}])
    assert len({p.fixed_ips[0]["ip_address"] for p in ports}) == 5
    paged = [p.name for p in demo.network.ports(network_id=net.id, limit=2, sort_key="name", sort_dir="asc")]
    assert paged == [f"sdk-port-{n}" for n in range(5)], paged
    assert names(demo.search_ports("sdk-port-1")) == ["sdk-port-1"]
    assert names(demo.network.ports(fixed_ips=f"ip_address={ports[2].fixed_ips[0]['ip_address']}")) == ["sdk-port-2"]
    assert demo.network.find_port("sdk-port-9") is None
    raises(exceptions.NotFoundException, demo.network.get_port, "5e5c0b2e-0000-4000-8000-000000000000")
    revision = demo.network.get_port(ports[0]).revision_number
    demo.network.update_port(ports[0].id, description="seen", if_revision=revision)
    late = {"description": "late", "if_revision": revision}
    raises(exceptions.PreconditionFailedException, demo.network.update_port, ports[0].id, **late)

    router = demo.create_router("sdk-router", ext_gateway_net_id=demo.get_network("public").id)
    demo.add_router_interface(router, subnet_id=subnet.id)
    assert len(list(demo.list_router_interfaces(router, "internal"))) == 1
    raises(exceptions.ConflictException, demo.network.delete_router, router)
    group = demo.create_security_group("sdk-group", "web")
    rule = demo.create_security_group_rule("sdk-group", 80, 80, "tcp", "0.0.0.0/0")
    raises(
        exceptions.ConflictException,
        demo.network.create_security_group_rule,
        security_group_id=group.id,
        direction="ingress",
        ether_type="IPv4",
        protocol="tcp",
        port_range_min=80,
        port_range_max=80,
        remote_ip_prefix="0.0.0.0/0",
    )
    assert rule.id in [r.id for r in demo.network.security_group_rules(security_group_id=group.id)]
    assert demo.network.find_extension("security-group") and demo.network.find_extension("router")
    ip = demo.create_floating_ip(network="public", port=ports[0].id)
    assert ip.status in ("ACTIVE", "DOWN") and ip.fixed_ip_address == ports[0].fixed_ips[0]["ip_address"]
    assert demo.network.find_ip(ip.floating_ip_address).id == ip.id
    assert demo.delete_floating_ip(ip.id) and not demo.delete_floating_ip(ip.id)
    demo.network.set_tags(net, ["red", "green"])
    assert [n.id for n in demo.network.networks(tags="red,green")] == [net.id]
    # What is another project's is not there.
    assert net.id in [n.id for n in admin.network.networks()]
    hidden = admin.create_network("sdk-hidden")
    raises(exceptions.NotFoundException, demo.network.get_network, hidden.id)
    admin.delete_network("sdk-hidden")

    raises(exceptions.BadRequestException, admin.set_network_quotas, "demo", network=1)
    admin.set_network_quotas("demo", network=2)
    raises(exceptions.ConflictException, demo.create_network, "too-many")
    assert admin.get_network_quotas("demo").networks == 2
    admin.delete_network_quotas("demo")
    demo.remove_router_interface(router, subnet_id=subnet.id)
    assert demo.delete_router("sdk-router")
    for port in ports:
        demo.delete_port(port.id)
    assert demo.delete_security_group("sdk-group")
    assert demo.delete_subnet("sdk-subnet") and demo.delete_network("sdk-net") and not demo.delete_network("sdk-net")


def compute():
    flavor = admin.create_flavor("sdk.tiny", ram=80, vcpus=1, disk=1)
    admin.set_flavor_specs(flavor.id, {"sdk:a": "b"})
    assert demo.compute.fetch_flavor_extra_specs(demo.get_flavor("sdk.tiny")).extra_specs == {"sdk:a": "b"}
    assert demo.get_flavor_by_ram(80).name in ("sdk.tiny", "nano", "micro")
    raises(exceptions.ForbiddenException, demo.create_flavor, "mine", ram=80, vcpus=1, disk=1)
    raises(exceptions.ConflictException, admin.create_flavor, "sdk.tiny", ram=80, vcpus=1, disk=1)

    key = WORK / "sdk-key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    demo.create_keypair("sdk-key", key.with_suffix(".pub").read_text())
    assert "sdk-key" in names(demo.list_keypairs())
    apart = demo.create_server_group("sdk-apart", ["soft-anti-affinity"])

    # auto_ip finds the external network, makes a floating IP and waits for it.
    server = demo.create_server(
        "sdk-server",
        image="mini",
        flavor="sdk.tiny",
        network="private",
        key_name="sdk-key",
        meta={"role": "web"},
        group=apart.id,
        wait=True,
        auto_ip=True,
        timeout=60,
    )
    server = demo.get_server("sdk-server")
    assert server.status == "ACTIVE" and server.public_v4.startswith("172.24."), server
    assert server.private_v4 and server.access_ipv4 == server.public_v4
    assert server.key_name == "sdk-key" and server.metadata == {"role": "web"}
    assert demo.get_server_group("sdk-apart").member_ids == [server.id]
    assert names(demo.list_servers(filters={"status": "ACTIVE", "name": "sdk"})) == ["sdk-server"]
    assert demo.compute.find_server("sdk-server").id == server.id and demo.compute.find_server("sdk") is None
    raises(exceptions.NotFoundException, demo.compute.get_server, "5e5c0b2e-0000-4000-8000-000000000000")
    demo.set_server_metadata(server.id, {"tier": "2"})
    demo.delete_server_metadata(server.id, ["role"])
    assert demo.compute.get_server_metadata(server).metadata == {"tier": "2"}
    demo.compute.add_tag_to_server(server, "t1")
    assert demo.compute.get_server(server).tags == ["t1"]
    demo.update_server(server.id, name="sdk-renamed", description="seen")
    assert demo.compute.get_server(server).description == "seen"

    def wait(status):
        return demo.compute.wait_for_server(demo.compute.get_server(server), status, interval=0.1, wait=60)

    demo.compute.stop_server(server)
    wait("SHUTOFF")
    raises(exceptions.ConflictException, demo.compute.stop_server, server)
    demo.compute.start_server(server)
    wait("ACTIVE")
    demo.compute.reboot_server(server, "HARD")
    wait("ACTIVE")
    admin.compute.lock_server(server, locked_reason="ours")
    raises(exceptions.ConflictException, demo.compute.stop_server, server)
    admin.compute.unlock_server(server)
    actions = [a.action for a in demo.compute.server_actions(server)]
    assert {"create", "stop", "start", "reboot"} <= set(actions), actions
    interfaces = list(demo.compute.server_interfaces(server))
    assert [f["ip_address"] for f in interfaces[0].fixed_ips] == [server.private_v4]
    groups = demo.compute.fetch_server_security_groups(server).security_groups
    assert [g["name"] for g in groups] == ["default"]

    small = {"image": "mini", "flavor": "nano", "network": "private", "auto_ip": False}
    paged = [demo.create_server(f"page-{n}", **small) for n in range(4)]
    found = [s.name for s in demo.compute.servers(limit=1, name="page-", sort_key="display_name", sort_dir="asc")]
    assert found == [f"page-{n}" for n in range(4)], found
    for one in paged:
        demo.delete_server(one.id)
    # Hosts that they are on could not change their zone.
    for one in paged:
        demo.compute.wait_for_delete(one, interval=0.1, wait=60)
    admin.set_compute_quotas("demo", instances=1)
    body = {"name": "more", "image_id": server.image.id, "flavor_id": flavor.id, "networks": "none"}
    raises(exceptions.ForbiddenException, demo.compute.create_server, **body)
    admin.delete_compute_quotas("demo")
    assert admin.get_compute_limits("demo").max_total_cores > 0

    # The administrator's view.
    assert len(list(admin.compute.hypervisors())) == 3
    assert names(admin.compute.servers(all_projects=True, name="sdk-renamed")) == ["sdk-renamed"]
    raises(exceptions.ForbiddenException, demo.compute.services)
    aggregate = admin.create_aggregate("sdk-fast", availability_zone="fast")
    admin.add_host_to_aggregate("sdk-fast", "sim-0003")
    assert "fast" in [z.name for z in demo.compute.availability_zones()]
    there = demo.create_server("sdk-there", availability_zone="fast", wait=True, timeout=60, **small)
    assert admin.compute.get_server(there.id).hypervisor_hostname == "sim-0003"
    assert demo.delete_server("sdk-there", wait=True, timeout=60)
    admin.remove_host_from_aggregate("sdk-fast", "sim-0003")
    admin.delete_aggregate("sdk-fast")

    assert demo.delete_server("sdk-renamed", wait=True, timeout=60, delete_ips=True)
    assert not list(demo.network.ips(status="ACTIVE"))
    assert not demo.delete_server("sdk-renamed")
    demo.delete_server_group("sdk-apart")
    demo.delete_keypair("sdk-key")
    assert admin.delete_flavor("sdk.tiny") and not admin.delete_flavor("sdk.tiny")


for part in (identity, image, network, compute):
    if sys.argv[2:] and part.__name__ not in sys.argv[2:]:
        continue
    part()
    print(f"{part.__name__}: as it should be")
