//! NICs of a guest: on QEMU's command line, and plugged and unplugged while it runs.
//!
//! ```text
//!  document names a port, QEMU has no `nic-PORT` ──► tap fd over the monitor, netdev_add, device_add
//!  QEMU has a `nic-…` that the document does not name ──► netdev_del, device_del, the guest lets go
//!  QEMU has a `nic-PORT` whose backend is gone ──► the same, then it is plugged in anew
//! ```
//! What QEMU has is asked each time ([`plugged`]); names derive from the port, so a pass may be dropped
//! anywhere and the next one goes on. A NIC that leaves loses its tap at once and stays as a card without
//! a cable until the guest has let go of it, which a guest that is still booting does late or never.

use super::qmp::Qmp;
use crate::host::Host;
use base::doc::{Hardware, Nic};
use base::{Fault, Kind, PortId, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::time::Instant;

/// NICs that a guest can have while it runs, at least.
pub const SLOTS: usize = 8;
/// The bus of a machine without PCI Express ports; all its slots take NICs.
pub const OLD_BUS: &str = "pci.0";
/// How long a guest is waited for before other things are looked at.
const LET_GO: Duration = Duration::from_secs(5);

/// The tap of a port, for QEMU.
pub async fn open_tap(host: &Host, nic: &Nic) -> Result<OwnedFd> {
    let (net, network, port) = (host.net.clone(), nic.network, nic.port);
    tokio::task::spawn_blocking(move || net.open_tap(network, port)).await.map_err(Fault::internal)?
}

/// QEMU's id of a PCI Express port.
pub fn slot(n: usize) -> String {
    format!("port{n}")
}

/// QEMU's id of the backend of a port's NIC.
pub fn backend(port: PortId) -> String {
    format!("net-{port}")
}

/// QEMU's id of a port's NIC.
pub fn card(port: PortId) -> String {
    format!("nic-{port}")
}

/// The device as `-device` and `device_add` take it.
///
/// # Errors
/// `BadRequest` for a MAC that is none or a model that QEMU does not have.
pub fn device(nic: &Nic, hardware: &Hardware, bus: &str) -> Result<Value> {
    if !nic.mac.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
        return Err(Fault::bad_request(format!("{:?} is not a MAC address.", nic.mac)));
    }
    let mut device = json!({
        "id": card(nic.port), "netdev": backend(nic.port), "bus": bus, "mac": nic.mac, "romfile": "",
    });
    device["driver"] = match hardware.vif_model.as_str() {
        "" | "virtio" => {
            device["host_mtu"] = nic.mtu.into();
            "virtio-net-pci".into()
        }
        model @ ("e1000" | "e1000e" | "rtl8139") => model.into(),
        other => return Err(Fault::bad_request(format!("There is no NIC model {other:?} here."))),
    };
    Ok(device)
}

/// The NICs that QEMU has: the port of each by its id, none where it belongs to no port any more: a card that has
/// lost its cable can only leave. One of an older release bears a number instead of its port and is known by its MAC.
pub async fn plugged(qmp: &mut Qmp, wanted: &[Nic]) -> Result<BTreeMap<String, Option<PortId>>> {
    let all = qmp.ask("qom-list", json!({ "path": "/machine/peripheral" })).await?;
    let names = all.as_array().into_iter().flatten().filter_map(|d| d["name"].as_str());
    let mut found = BTreeMap::new();
    for name in names.filter(|n| n.starts_with("nic")) {
        let port = match name.strip_prefix("nic-") {
            Some(port) if has_cable(qmp, name).await? => port.parse().ok(),
            Some(_) => None,
            None => {
                let path = format!("/machine/peripheral/{name}");
                let mac = qmp.ask("qom-get", json!({ "path": path, "property": "mac" })).await?;
                wanted
                    .iter()
                    .find(|n| mac.as_str().is_some_and(|m| m.eq_ignore_ascii_case(&n.mac)))
                    .map(|n| n.port)
            }
        };
        found.insert(name.to_owned(), port);
    }
    Ok(found)
}

/// QEMU's id of what a card is plugged to.
fn cable(card: &str) -> String {
    card.replacen("nic", "net", 1)
}

/// Whether a card still has its backend. QEMU goes on naming one that was deleted, but no longer knows it.
async fn has_cable(qmp: &mut Qmp, card: &str) -> Result<bool> {
    // Of one that is there this changes nothing: no cable is ever pulled in this way.
    match qmp.ask("set_link", json!({ "name": cable(card), "up": true })).await {
        Ok(_) => Ok(true),
        Err(fault) if fault.kind == Kind::Conflict => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Plugs in one NIC, with what `tap` opens. Answers the slot that it sits in, where there are slots.
///
/// # Errors
/// `Conflict` when no PCI Express port is free, or with QEMU's words; those of `tap`.
pub async fn plug(
    qmp: &mut Qmp,
    nic: &Nic,
    hardware: &Hardware,
    tap: impl Future<Output = Result<OwnedFd>>,
) -> Result<Option<usize>> {
    let bus = free_slot(qmp).await?;
    let id = backend(nic.port);
    // A pass that was cut short leaves the tap with QEMU, and no tap is opened twice. Not there is fine.
    let _ = qmp.ask("netdev_del", json!({ "id": id })).await;
    let _ = qmp.ask("closefd", json!({ "fdname": id })).await;
    qmp.give(&id, tap.await?).await?;
    qmp.ask("netdev_add", json!({ "type": "tap", "id": id, "fd": id })).await?;
    let added = qmp.ask("device_add", device(nic, hardware, &bus)?).await;
    if added.is_err() {
        let _ = qmp.ask("netdev_del", json!({ "id": id })).await;
    }
    added?;
    Ok(bus.strip_prefix("port").and_then(|n| n.parse().ok()))
}

async fn free_slot(qmp: &mut Qmp) -> Result<String> {
    let all = qmp.ask("qom-list", json!({ "path": "/machine/peripheral" })).await?;
    let names = all.as_array().into_iter().flatten().filter_map(|d| d["name"].as_str());
    let slots: Vec<String> = names.filter(|n| n.starts_with("port")).map(str::to_owned).collect();
    if slots.is_empty() {
        return Ok(OLD_BUS.to_owned());
    }
    for slot in slots {
        let inside =
            qmp.ask("qom-list", json!({ "path": format!("/machine/peripheral/{slot}/{slot}") })).await?;
        let kinds = inside.as_array().into_iter().flatten().filter_map(|d| d["name"].as_str());
        if !kinds.into_iter().any(|n| n.starts_with("child[")) {
            return Ok(slot);
        }
    }
    Err(Fault::conflict("The guest has no free slot for another NIC; a hard reboot makes room."))
}

/// Takes out one NIC. True when the guest has let go of it.
pub async fn unplug(qmp: &mut Qmp, name: &str) -> Result<bool> {
    // The cable first: the tap goes with its network, and QEMU must not read from what is gone.
    let _ = qmp.ask("netdev_del", json!({ "id": cable(name) })).await;
    // Refused while an earlier request is under way.
    let _ = qmp.ask("device_del", json!({ "id": name })).await;
    let until = Instant::now() + LET_GO;
    while present(qmp, name).await? {
        match tokio::time::timeout_at(until, qmp.event()).await {
            Ok(event) => drop(event?),
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

async fn present(qmp: &mut Qmp, name: &str) -> Result<bool> {
    let all = qmp.ask("qom-list", json!({ "path": "/machine/peripheral" })).await?;
    Ok(all.as_array().into_iter().flatten().any(|d| d["name"] == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Dir;
    use base::{NetworkId, ServerId};
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    fn nic() -> Nic {
        Nic {
            port: PortId::new(),
            network: NetworkId::new(),
            mac: "fa:16:3e:00:00:01".into(),
            mtu: 1450,
            tag: None,
        }
    }

    #[test]
    fn models_are_those_that_qemu_has() {
        let mut nic = nic();
        let model = |m: &str| Hardware { vif_model: m.into(), ..Hardware::default() };
        let made = device(&nic, &model(""), "port3").unwrap();
        assert_eq!(
            (made["driver"].as_str(), made["host_mtu"].as_u64()),
            (Some("virtio-net-pci"), Some(1450))
        );
        let made = device(&nic, &model("e1000e"), "port3").unwrap();
        assert_eq!((made["driver"].as_str(), made.get("host_mtu")), (Some("e1000e"), None));
        assert!(device(&nic, &model("ne2k"), "port3").is_err());
        nic.mac = "x,y".into();
        assert!(device(&nic, &model(""), "port3").is_err());
    }

    /// The monitor of a QEMU that has these devices and refuses these commands, and what it is asked.
    async fn qemu(
        dir: &Dir,
        devices: &[String],
        refused: &'static [&'static str],
    ) -> (Qmp, Arc<Mutex<Vec<String>>>) {
        dir.make().unwrap();
        let listener = tokio::net::UnixListener::bind(dir.path("qmp.sock")).unwrap();
        let devices: Vec<Value> = devices.iter().map(|name| json!({ "name": name })).collect();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = asked.clone();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (from, mut to) = stream.into_split();
            to.write_all(b"{\"QMP\": {}}\n").await.unwrap();
            let mut lines = BufReader::new(from).lines();
            while let Some(line) = lines.next_line().await.unwrap() {
                let said: Value = serde_json::from_str(&line).unwrap();
                let command = said["execute"].as_str().unwrap();
                noted.lock().unwrap().push(command.to_owned());
                let answer = match command {
                    "qom-list" => json!({ "return": devices, "id": said["id"] }),
                    c if refused.contains(&c) => {
                        json!({ "error": { "desc": "not found" }, "id": said["id"] })
                    }
                    _ => json!({ "return": {}, "id": said["id"] }),
                };
                to.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            }
        });
        (Qmp::connect(dir).await.unwrap(), asked)
    }

    #[tokio::test]
    async fn a_tap_is_opened_when_qemu_has_let_go_of_it() {
        let data = tempfile::tempdir().unwrap();
        let dir = Dir::of(data.path(), ServerId::new());
        let (mut qmp, asked) = qemu(&dir, &[slot(0)], &["netdev_del", "closefd"]).await;
        let open = async {
            asked.lock().unwrap().push("open".to_owned());
            Ok::<_, Fault>(OwnedFd::from(std::fs::File::open("/dev/null")?))
        };
        assert_eq!(plug(&mut qmp, &nic(), &Hardware::default(), open).await.unwrap(), Some(0));
        let asked = asked.lock().unwrap().clone();
        let order = ["netdev_del", "closefd", "open", "getfd", "netdev_add", "device_add"];
        assert!(asked.ends_with(&order.map(str::to_owned)), "{asked:?}");
    }

    #[tokio::test]
    async fn a_card_without_a_cable_belongs_to_no_port() {
        let nic = nic();
        let cases: [(&'static [&'static str], _); 2] = [(&[], Some(nic.port)), (&["set_link"], None)];
        for (refused, port) in cases {
            let data = tempfile::tempdir().unwrap();
            let dir = Dir::of(data.path(), ServerId::new());
            let (mut qmp, _) = qemu(&dir, &[card(nic.port), slot(0)], refused).await;
            let found = plugged(&mut qmp, std::slice::from_ref(&nic)).await.unwrap();
            assert_eq!(found, BTreeMap::from([(card(nic.port), port)]));
        }
    }
}
