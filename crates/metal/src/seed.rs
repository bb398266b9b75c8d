//! What a new system finds on its disk: a configuration drive as cloud-init reads it (`config-2`, OpenStack's
//! form), and files.

use crate::model::{Deploy, Machine, Nic};
use crate::table::{key, nic, segment, vlan};
use crate::{Metal, act};
use base::doc::live::{SeedFile, WriteImage};
use base::{Fault, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use store::Tx;

/// Where cloud-init finds user data on the drive.
const USER_DATA: &str = "openstack/latest/user_data";

/// How a machine says that it is up: run once by cloud-init, with the Python that it runs on.
const SAYS_SO: &str = r#"#!/usr/bin/env python3
# Tells the cloud that this machine is up.
import time
import urllib.request
for pause in range(60):
    try:
        urllib.request.urlopen(urllib.request.Request("URL", data=b"", method="POST"), timeout=10)
        break
    except OSError:
        time.sleep(5)
"#;

/// What the live system writes. `door` is the rack's `address:port` as the machine reaches it.
pub fn work(
    metal: &Metal,
    tx: &Tx<'_>,
    m: &Machine,
    d: &Deploy,
    door: Option<&str>,
    secret: &str,
) -> Result<WriteImage> {
    let base = door.map_or_else(|| metal.settings.region_url.clone(), |d| format!("http://{d}"));
    let nics = nic::of(tx, m.id)?;
    let (mut drive, mut binary) = (BTreeMap::new(), BTreeMap::new());
    if !d.seed.no_drive {
        let mut keys = d.seed.ssh_keys.clone();
        keys.extend(key::of(tx, &m.user)?.into_iter().map(|k| k.key));
        keys.dedup();
        let given = d.seed.binary_user_data();
        let user_data = match (&given, d.as_host) {
            (_, true) => host(metal, tx, m, &base, secret)?,
            (Some(_), false) => String::new(),
            (None, false) => d.seed.user_data.clone(),
        };
        drive = config_drive(tx, m, &nics, &keys, &user_data, &format!("{base}/live/v1/booted/{secret}"))?;
        let given = given.filter(|_| !d.as_host).map(|bytes| (USER_DATA.to_owned(), STANDARD.encode(bytes)));
        binary.extend(given);
    }
    if !d.seed.drive.is_empty() {
        drive.clone_from(&d.seed.drive);
        binary.clone_from(&d.seed.drive_base64);
    }
    let files: BTreeMap<String, SeedFile> = d.seed.files.clone();
    Ok(WriteImage {
        image_sha512: d.sha512.clone(),
        disk: d.disk.clone(),
        grow: true,
        config_drive: drive,
        config_drive_base64: binary,
        files,
    })
}

fn config_drive(
    tx: &Tx<'_>,
    m: &Machine,
    nics: &[Nic],
    keys: &[String],
    user_data: &str,
    says_so: &str,
) -> Result<BTreeMap<String, String>> {
    let named: BTreeMap<String, &String> =
        keys.iter().enumerate().map(|(n, k)| (format!("key-{n}"), k)).collect();
    // Each deployment is a first start.
    let digest = Sha256::digest(says_so.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    let instance = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
    let meta = json!({
        "uuid": instance,
        "name": m.name,
        "hostname": m.name,
        "availability_zone": m.zone,
        "project_id": m.project,
        "public_keys": named,
        "meta": m.owner_data,
    });
    let vendor = json!({"cloud-init": SAYS_SO.replace("URL", says_so)});
    let mut files = BTreeMap::from([
        ("openstack/latest/meta_data.json".to_owned(), meta.to_string()),
        ("openstack/latest/network_data.json".to_owned(), network(tx, nics)?.to_string()),
        ("openstack/latest/vendor_data.json".to_owned(), vendor.to_string()),
    ]);
    if !user_data.is_empty() {
        files.insert(USER_DATA.to_owned(), user_data.to_owned());
    }
    Ok(files)
}

/// Addresses come by DHCP, which gives the machine its own.
pub(crate) fn network(tx: &Tx<'_>, nics: &[Nic]) -> Result<Value> {
    let (mut links, mut networks) = (Vec::new(), Vec::new());
    for (n, nic) in nics.iter().enumerate().filter(|(_, nic)| nic.boot) {
        let subnets = nic.segment.map(|s| segment::subnets_of(tx, s)).transpose()?.unwrap_or_default();
        let mtu = subnets.iter().map(|s| s.mtu).find(|mtu| *mtu > 0).unwrap_or(1500);
        let link = format!("link{n}");
        links.push(json!({"id": link, "type": "phy", "ethernet_mac_address": nic.mac, "mtu": mtu}));
        let routes = routes(tx, &subnets)?;
        networks
            .push(json!({"id": format!("network{n}"), "type": "ipv4_dhcp", "link": link, "routes": routes}));
    }
    Ok(json!({"links": links, "networks": networks, "services": []}))
}

/// Ways to other subnets of machines, beside the gateway.
fn routes(tx: &Tx<'_>, from: &[segment::Subnet]) -> Result<Vec<Value>> {
    let (all, mut found) = (segment::subnets(tx)?, Vec::new());
    for r in vlan::routes(tx)?.into_iter().filter(|r| from.iter().any(|s| s.id == r.source)) {
        if let Some(to) = all.iter().find(|s| s.id == r.destination) {
            let (network, netmask) = (to.cidr.network(), to.cidr.netmask());
            found.push(
                json!({"network": network, "netmask": netmask, "gateway": r.gateway, "metric": r.metric}),
            );
        }
    }
    Ok(found)
}

/// User data of a machine that becomes a host: it gets this program from the region through its rack, and joins.
fn host(metal: &Metal, tx: &Tx<'_>, m: &Machine, base: &str, secret: &str) -> Result<String> {
    let hosts = metal.settings.hosts.as_ref().ok_or_else(|| {
        Fault::unavailable("This region does not say where hosts find it, so no machine can become one.")
    })?;
    let join = hosts.invite(tx, &m.name)?;
    Ok(format!(
        r#"#!/bin/sh
# This machine becomes a host of the cloud.
set -eu
export DEBIAN_FRONTEND=noninteractive
missing=""
for p in {packages}; do dpkg -s "$p" >/dev/null 2>&1 || missing="$missing $p"; done
[ -z "$missing" ] || (apt-get update -q && apt-get install -y -q --no-install-recommends $missing)
get() {{ python3 -c 'import sys, shutil, urllib.request
with urllib.request.urlopen(sys.argv[1]) as a, open(sys.argv[2], "wb") as b: shutil.copyfileobj(a, b)' "$1" "$2"; }}
get "{base}/live/v1/program/{secret}" /usr/local/bin/hanok.new
chmod 755 /usr/local/bin/hanok.new
mv /usr/local/bin/hanok.new /usr/local/bin/hanok
cat >/etc/systemd/system/hanok-agent.service <<'END'
[Unit]
Description=Hanok host
After=network-online.target
Wants=network-online.target
[Service]
ExecStart=/usr/local/bin/hanok agent --name {name} --join {join}
Restart=always
RestartSec=5
# A host that cannot join says why where somebody without a login sees it.
StandardError=journal+console
KillMode=process
Delegate=yes
[Install]
WantedBy=multi-user.target
END
chmod 600 /etc/systemd/system/hanok-agent.service
systemctl daemon-reload
systemctl enable --now hanok-agent.service
"#,
        packages = act::HOST_PACKAGES,
        name = m.name,
    ))
}
