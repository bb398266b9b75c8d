//! What a rack is told: made from the tables when it asks.

use crate::Metal;
use crate::model::{BootWish, Machine, Nic, Status};
use crate::table::rack::Rack;
use crate::table::{console, dns, machine, nic, segment};
use base::doc::VERSION;
use base::doc::rack::{
    Bmc, Boot, BootFrom, ConsoleAsked, LiveSystem, PowerOrder, PowerSaid, RackDesired, RackImage,
    RackMachine, RackNic, RackSubnet, Segment,
};
use base::{MachineId, RackId, Result};
use std::collections::HashMap;
use store::{Tx, params};

/// Setting with the [`LiveSystem`] that machines boot, as JSON.
const LIVE: &str = "metal.live";

/// The rack's whole document.
pub fn make(metal: &Metal, tx: &Tx<'_>, rack: &Rack) -> Result<RackDesired> {
    let machines = machine::of_rack(tx, rack.id)?;
    let mut nics = nic::of_all(tx, machines.iter().map(|m| m.id))?;
    let (bmcs, tokens) = (sealed_bmcs(tx, rack.id)?, sealed_tokens(tx, rack.id)?);
    let told = machines.iter().map(|m| {
        let open = |sealed: Option<&String>| sealed.map(|s| metal.seal.unseal(s)).transpose();
        let bmc = open(bmcs.get(&m.id))?.map(|json| serde_json::from_str(&json)).transpose()?;
        let boot = match m.boot {
            BootWish::Live => match open(tokens.get(&m.id))? {
                Some(token) => Boot::Live { token },
                None => Boot::Off,
            },
            BootWish::Local => Boot::Local,
            BootWish::Off => Boot::Off,
        };
        Ok(one(m, nics.remove(&m.id).unwrap_or_default(), bmc, boot))
    });
    let (zones, records) = dns::told(tx, &metal.settings.domain)?;
    Ok(RackDesired {
        version: VERSION,
        rack: rack.id,
        generation: rack.generation,
        machines: told.collect::<Result<_>>()?,
        segments: segments(tx, rack.id)?,
        images: images(tx, rack.id)?,
        live: live(tx)?,
        domain: metal.settings.domain.clone(),
        upstream_dns: metal.settings.upstream_dns.clone(),
        fixed: fixed(tx)?,
        zones,
        records,
        consoles: console::of_rack(tx, rack.id)?
            .into_iter()
            .map(|a| ConsoleAsked { machine: a.machine, key: a.key })
            .collect(),
    })
}

/// Addresses that are kept for MACs of no machine.
fn fixed(tx: &Tx<'_>) -> Result<Vec<RackNic>> {
    let sql = "SELECT mac, address FROM metal_address WHERE mac <> '' AND nic_id IS NULL
                 AND mac NOT IN (SELECT mac FROM machine_nic) ORDER BY mac, address";
    let rows = tx.rows(sql, &[], |r| Ok((r.get::<String>(0)?, r.get(1)?)))?;
    Ok(rows.into_iter().map(|(mac, address)| RackNic { mac, addresses: vec![address] }).collect())
}

fn one(m: &Machine, nics: Vec<Nic>, bmc: Option<Bmc>, boot: Boot) -> RackMachine {
    let boot_from = match m.boot_from.as_str() {
        "network" => BootFrom::Network,
        "disk" => BootFrom::Disk,
        _ => BootFrom::Unset,
    };
    RackMachine {
        id: m.id,
        name: m.name.clone(),
        nics: nics.into_iter().map(|n| RackNic { mac: n.mac, addresses: n.addresses }).collect(),
        uuid: m.uuid.clone(),
        boot,
        host: m.as_host && matches!(m.status, Status::Deploying | Status::Deployed),
        bmc: bmc.or(Some(Bmc::Manual)),
        power: PowerOrder {
            want: m.want_power,
            cycles: m.power_cycles,
            hard: m.power_hard,
            boot_from,
            efi: (m.inventory_at.0 > 0).then_some(m.uefi),
            cycled: m.seen.cycles,
            said: m.said.map(|(on, at)| PowerSaid { on, at }),
        },
    }
}

fn sealed_bmcs(tx: &Tx<'_>, rack: RackId) -> Result<HashMap<MachineId, String>> {
    let sql = "SELECT id, bmc FROM machine WHERE rack_id = $1 AND bmc <> ''";
    Ok(tx.rows(sql, params![rack], |r| Ok((r.get(0)?, r.get(1)?)))?.into_iter().collect())
}

fn sealed_tokens(tx: &Tx<'_>, rack: RackId) -> Result<HashMap<MachineId, String>> {
    let sql = "SELECT t.machine_id, t.sealed FROM boot_token t JOIN machine m ON m.id = t.machine_id
               WHERE m.rack_id = $1 AND m.boot = 'live' AND t.used_at IS NULL";
    Ok(tx.rows(sql, params![rack], |r| Ok((r.get(0)?, r.get(1)?)))?.into_iter().collect())
}

fn segments(tx: &Tx<'_>, rack: RackId) -> Result<Vec<Segment>> {
    let ranges = segment::ranges(tx, None)?;
    let mut all = Vec::new();
    for s in segment::of_rack(tx, rack)? {
        let served = segment::subnets_of(tx, s.id)?.into_iter().filter(|n| !n.address.is_unspecified());
        let subnets = served.map(|n| RackSubnet {
            ranges: ranges
                .iter()
                .filter(|r| r.subnet == n.id && r.dynamic)
                .map(|r| (r.first, r.last))
                .collect(),
            cidr: n.cidr,
            address: n.address,
            gateway: n.gateway,
            dns: n.dns,
            ntp: n.ntp,
            mtu: n.mtu,
            relays: n.relays,
        });
        all.push(Segment {
            id: s.id,
            name: s.name,
            interface: s.interface,
            dhcp: s.dhcp,
            enlist: s.enlist,
            subnets: subnets.collect(),
        });
    }
    Ok(all)
}

/// What is being written, and what was: it is likely to be asked for again.
fn images(tx: &Tx<'_>, rack: RackId) -> Result<Vec<RackImage>> {
    let sql = "SELECT c.sha512, c.format, c.size FROM metal_content c WHERE EXISTS (
                 SELECT 1 FROM machine m WHERE m.image_sha512 = c.sha512 AND m.image_sha512 <> ''
                   AND m.rack_id = $1 AND m.deleted_at IS NULL AND m.status IN ($2, $3, $4))
               ORDER BY c.sha512";
    let statuses = [Status::Deploying, Status::Deployed, Status::FailedDeployment].map(Status::number);
    tx.rows(sql, params![rack, statuses[0], statuses[1], statuses[2]], |r| {
        Ok(RackImage { sha512: r.get(0)?, format: r.get(1)?, size: r.get(2)? })
    })
}

/// What machines boot that are not to start from their disk.
pub fn live(tx: &Tx<'_>) -> Result<Option<LiveSystem>> {
    let text = tx.opt("SELECT value FROM setting WHERE name = $1", params![LIVE], |r| r.get::<String>(0))?;
    text.map(|t| Ok(serde_json::from_str(&t)?)).transpose()
}

/// Says what machines boot from now on. The files are content of the image service.
pub fn set_live(tx: &Tx<'_>, live: &LiveSystem) -> Result<()> {
    let sql = "INSERT INTO setting (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.exec(sql, params![LIVE, serde_json::to_string(live)?])?;
    crate::table::rack::touch_all(tx)
}
