"""Prints a tempest.conf: the flags of a file, and what the running cloud itself says.

    configure.py DATA FLAGS.conf [ADDRESS OF A QCOW2 DISK]
"""

import configparser
import json
import pathlib
import re
import sys
import urllib.request


class Cloud:
    """The few calls that are needed, as the administrator."""

    def __init__(self, data):
        text = (data / "clouds.yaml").read_text()
        self.url = re.search(r"auth_url: (\S+)/identity/v3", text).group(1)
        self.password = (data / "admin-password").read_text().strip()
        self.token = None
        login = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {"name": "admin", "domain": {"id": "default"}, "password": self.password}
                    },
                },
                "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
            }
        }
        self.token = self.open("/identity/v3/auth/tokens", login).headers["X-Subject-Token"]

    def open(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("X-Auth-Token", self.token)
        return urllib.request.urlopen(request)

    def second_image(self, first):
        """A twin of an image, since some tests need two."""
        shown = self.get(f"/image/v2/images/{first}")
        body = {k: shown[k] for k in ("disk_format", "container_format")} | {"name": "twin", "visibility": "public"}
        twin = json.load(self.open("/image/v2/images", body))["id"]
        with self.open(f"/image/v2/images/{first}/file") as content:
            bytes_ = content.read()
        request = urllib.request.Request(f"{self.url}/image/v2/images/{twin}/file", data=bytes_, method="PUT")
        request.add_header("Content-Type", "application/octet-stream")
        request.add_header("X-Auth-Token", self.token)
        urllib.request.urlopen(request)
        return twin

    def get(self, path):
        return json.load(self.open(path))

    def named(self, path, noun):
        return {item["name"]: item["id"] for item in self.get(path)[noun]}


def main():
    data = pathlib.Path(sys.argv[1])
    conf = configparser.ConfigParser(interpolation=None)
    conf.read(sys.argv[2])
    cloud = Cloud(data)

    def put(section, **values):
        if not conf.has_section(section) and section != "DEFAULT":
            conf.add_section(section)
        for name, value in values.items():
            conf.set(section, name, str(value))

    images = cloud.named("/image/v2/images", "images")
    flavors = cloud.named("/compute/v2.1/flavors", "flavors")
    networks = cloud.named("/network/v2.0/networks?router:external=True", "networks")
    versions = cloud.get("/compute/")["versions"]
    current = next(v for v in versions if v["id"] == "v2.1")
    extensions = cloud.get("/network/v2.0/extensions")["extensions"]
    hosts = cloud.get("/compute/v2.1/os-hypervisors")["hypervisors"]

    put("DEFAULT", log_file="tempest.log", debug="false", use_stderr="false")
    put("oslo_concurrency", lock_path=str(pathlib.Path.cwd() / "locks"))
    put("identity", uri_v3=cloud.url + "/identity/v3", auth_version="v3", region="RegionOne")
    put(
        "auth",
        use_dynamic_credentials="true",
        admin_username="admin",
        admin_project_name="admin",
        admin_password=cloud.password,
        admin_domain_name="Default",
    )
    put(
        "compute",
        image_ref=images["mini"],
        image_ref_alt=images.get("twin") or cloud.second_image(images["mini"]),
        flavor_ref=flavors["nano"],
        flavor_ref_alt=flavors["micro"],
        min_compute_nodes=len(hosts),
        max_microversion=current["version"],
    )
    if len(sys.argv) > 3:
        put("image", http_image=sys.argv[3], http_qcow2_image=sys.argv[3])
    put("network", public_network_id=networks["public"], floating_network_name="public")
    put("network-feature-enabled", api_extensions=",".join(sorted(e["alias"] for e in extensions)))
    conf.write(sys.stdout)


main()
