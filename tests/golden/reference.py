"""Runs the real Identity, Image, Compute API and Placement services over SQLite on loopback.

    reference.py DIR [FIRST_PORT]

They are installed from PyPI (requirements.txt) and serve as the reference that ask.py compares Hanok with.
Prints `ready` and the address of Identity once all of them answer; ends them when it is ended itself.
Compute is its API only (no scheduler, no host): good for everything that is answered before placement.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import requests

PASSWORD = "reference"
# name: (WSGI module, path that answers without a token)
SERVICES = {
    "keystone": ("keystone.wsgi.api", "/v3"),
    "glance": ("glance.wsgi.api", "/versions"),
    "placement": ("placement.wsgi.api", "/"),
    "nova": ("nova.wsgi.osapi_compute", "/v2.1"),
}
# The services look at their command line; this gives them an empty one.
SERVE = """
import importlib, sys
module, port = sys.argv[1:]
sys.argv = [module]
application = importlib.import_module(module).application
import waitress
waitress.serve(application, host="127.0.0.1", port=int(port), threads=4, _quiet=True)
"""


def auth(port):
    """Options by which a service asks Identity who a token belongs to."""
    return {
        "auth_url": f"http://127.0.0.1:{port}/v3",
        "www_authenticate_uri": f"http://127.0.0.1:{port}/v3",
        "auth_type": "password",
        "username": "admin",
        "password": PASSWORD,
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": "RegionOne",
    }


def configurations(root, ports):
    """Every service's configuration: {name: {section: {option: value}}}."""
    me = auth(ports["keystone"])

    def database(name):
        return {"connection": f"sqlite:///{root}/{name}.db"}

    def log(name):
        return {"log_file": f"{root}/{name}.log"}

    return {
        "keystone": {
            "DEFAULT": log("keystone"),
            "database": database("keystone"),
            "fernet_tokens": {"key_repository": f"{root}/fernet"},
            "credential": {"key_repository": f"{root}/credential"},
        },
        "glance": {
            "DEFAULT": log("glance")
            | {
                "enabled_backends": "file:file",
                "node_staging_uri": f"file://{root}/staging",
                "worker_self_reference_url": f"http://127.0.0.1:{ports['glance']}",
            },
            "database": database("glance"),
            "glance_store": {"default_backend": "file"},
            "file": {"filesystem_store_datadir": f"{root}/images"},
            "keystone_authtoken": me,
            "paste_deploy": {"flavor": "keystone", "config_file": f"{root}/glance.d/glance-api-paste.ini"},
        },
        "placement": {
            "DEFAULT": log("placement"),
            "api": {"auth_strategy": "keystone"},
            "placement_database": database("placement") | {"sync_on_startup": "true"},
            "keystone_authtoken": me,
        },
        "nova": {
            "DEFAULT": log("nova")
            | {
                "state_path": f"{root}/nova",
                "transport_url": "fake://",
                "compute_driver": "fake.FakeDriver",
            },
            "api_database": database("nova_api"),
            "database": database("nova_cell0"),
            "placement": me,
            "keystone_authtoken": me,
            "glance": {"endpoint_override": f"http://127.0.0.1:{ports['glance']}"},
        },
    }


def write(path, sections):
    with open(path, "w") as f:
        for section, options in sections.items():
            print(f"[{section}]", *(f"{k} = {v}" for k, v in options.items()), sep="\n", file=f)


def prepare(root, venv, ports):
    """Makes the databases and keys, and the first administrator."""
    for name in ("images", "staging", "nova"):
        (root / name).mkdir(exist_ok=True)

    def manage(service, *words):
        command = [venv / f"bin/{service}-manage", "--config-file", root / f"{service}.conf", *words]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{service}-manage {' '.join(words)}: {done.stderr[-2000:]}")

    user = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    manage("keystone", "db_sync")
    manage("keystone", "fernet_setup", *user)
    manage("keystone", "credential_setup", *user)
    url = f"http://127.0.0.1:{ports['keystone']}/v3"
    manage("keystone", "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-public-url", url,
           "--bootstrap-internal-url", url, "--bootstrap-region-id", "RegionOne")
    manage("glance", "db_sync")
    manage("nova", "api_db", "sync")
    manage("nova", "cell_v2", "map_cell0", "--database_connection", f"sqlite:///{root}/nova_cell0.db")
    manage("nova", "db", "sync")


def start(root, venv, name, port):
    etc = root / f"{name}.d"
    etc.mkdir(exist_ok=True)
    configuration = (root / f"{name}.conf").read_text()
    files = [f"{name}.conf"]
    # Compute and Image also read how their layers are stacked, and Image has fixed names for its files.
    if name == "nova":
        shutil.copy(venv / "etc/nova/api-paste.ini", etc)
        files.insert(0, "api-paste.ini")
    if name == "glance":
        shutil.copy(venv / "etc/glance/glance-api-paste.ini", etc)
        (etc / "glance-api.conf").write_text(configuration)
        (etc / "glance-cache.conf").touch()
    (etc / f"{name}.conf").write_text(configuration)
    environment = os.environ | {
        f"OS_{name.upper()}_CONFIG_DIR": str(etc),
        f"OS_{name.upper()}_CONFIG_FILES": ";".join(files),
    }
    out = open(root / f"{name}.out", "w")
    command = [sys.executable, "-c", SERVE, SERVICES[name][0], str(port)]
    return subprocess.Popen(command, cwd=root, env=environment, stdout=out, stderr=out)


def await_all(root, processes, ports):
    deadline = time.monotonic() + 120
    for name, process in processes.items():
        address = f"http://127.0.0.1:{ports[name]}{SERVICES[name][1]}"
        while True:
            try:
                urllib.request.urlopen(address).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{name} does not answer; see {root}/{name}.out and .log")
                time.sleep(0.2)


def fill_catalog(ports):
    """Makes the other services known to clients."""
    url = f"http://127.0.0.1:{ports['keystone']}/v3"
    user = {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    http = requests.Session()
    http.headers["X-Auth-Token"] = http.post(url + "/auth/tokens", json=body).headers["X-Subject-Token"]
    for name, kind, path in [("glance", "image", ""), ("placement", "placement", ""), ("nova", "compute", "/v2.1")]:
        answer = http.post(url + "/services", json={"service": {"name": name, "type": kind}})
        endpoint = {
            "service_id": answer.json()["service"]["id"],
            "interface": "public",
            "region_id": "RegionOne",
            "url": f"http://127.0.0.1:{ports[name]}{path}",
        }
        http.post(url + "/endpoints", json={"endpoint": endpoint}).raise_for_status()


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    root.mkdir(parents=True, exist_ok=True)
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 35990
    venv = pathlib.Path(sys.prefix)
    ports = {name: first + n for n, name in enumerate(SERVICES)}
    for name, sections in configurations(root, ports).items():
        write(root / f"{name}.conf", sections)
    prepare(root, venv, ports)
    processes = {name: start(root, venv, name, port) for name, port in ports.items()}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        await_all(root, processes, ports)
        fill_catalog(ports)
        print("ready", f"http://127.0.0.1:{ports['keystone']}/v3", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()


if __name__ == "__main__":
    main()
