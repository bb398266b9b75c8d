//! What a client asks of a machine that it wants (`op=allocate`), and which of its labels found what.
//!
//! `storage=root:100(ssd),data:500` asks for disks of at least so many gigabytes (10^9 bytes) with tags;
//! `interfaces=a:subnet=3;b:fabric=room` asks for NICs on networks. The answer names, for each label, the disk
//! or NIC that was meant.

use super::fields::{Fields, invalid};
use super::machines::named_ids;
use super::view::Scene;
use super::view::machine::disk_tags;
use super::view::network::{SPACE, SPACE_NUMBER};
use crate::model::{Constraints, Disk, Machine, Nic};
use crate::table::named::Kind;
use crate::table::{disk, machine, nic};
use base::{Result, SegmentId};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use store::Tx;

/// A disk that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageWish {
    pub label: String,
    pub bytes: u64,
    pub tags: Vec<String>,
}

/// A NIC that is asked for, on a network with all of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicWish {
    pub label: String,
    pub wants: Vec<(String, String)>,
}

/// All that is asked.
pub struct Wish {
    pub constraints: Constraints,
    storage: Vec<StorageWish>,
    nics: Vec<NicWish>,
    /// Networks that no NIC may be on.
    never: Vec<(String, String)>,
    scene: Scene,
    /// As the client wrote it, for the refusal.
    pub words: String,
}

const SAID: &[&str] = &[
    "name",
    "hostname",
    "system_id",
    "arch",
    "cpu_count",
    "mem",
    "tags",
    "not_tags",
    "zone",
    "not_in_zone",
    "pool",
    "not_in_pool",
    "storage",
    "interfaces",
    "subnets",
    "not_subnets",
    "fabrics",
];

/// Reads what is asked.
///
/// # Errors
/// 400 for what makes no sense, or names a zone, pool or network that there is not.
pub fn read(tx: &Tx<'_>, fields: &Fields) -> Result<Wish> {
    let name = fields.text("name")?.or(fields.text("hostname")?);
    let short = |n: String| n.split('.').next().unwrap_or_default().to_owned();
    let mut constraints = Constraints {
        name: name.map(short),
        arch: fields.text("arch")?.map(|a| a.split('/').next().unwrap_or_default().to_owned()),
        min_cores: count(fields, "cpu_count")?,
        min_memory_mib: count(fields, "mem")?.map(u64::from),
        tags: fields.words("tags")?,
        not_tags: fields.words("not_tags")?,
        zone: named_ids(tx, Kind::Zone, "zone", &fields.all("zone")?)?.pop(),
        not_zones: named_ids(tx, Kind::Zone, "not_in_zone", &fields.words("not_in_zone")?)?,
        pool: named_ids(tx, Kind::Pool, "pool", &fields.all("pool")?)?.pop(),
        not_pools: named_ids(tx, Kind::Pool, "not_in_pool", &fields.words("not_in_pool")?)?,
        ..Constraints::default()
    };
    if let Some(id) = fields.text("system_id")? {
        let found = machine::by_any(tx, &id)?.filter(|m| m.system_id == id);
        // Of a machine that is not there none is free either.
        constraints.id = Some(found.map_or(base::MachineId::nil(), |m| m.id));
    }
    let storage = storage(&fields.text("storage")?.unwrap_or_default())?;
    constraints.disks = storage.iter().map(|s| s.bytes).collect();
    let mut nics = interfaces(&fields.text("interfaces")?.unwrap_or_default())?;
    for subnet in fields.all("subnets")? {
        nics.push(NicWish { label: String::new(), wants: vec![specifier("subnet", &subnet)] });
    }
    for fabric in fields.all("fabrics")? {
        nics.push(NicWish { label: String::new(), wants: vec![("fabric".into(), fabric)] });
    }
    let never = fields.all("not_subnets")?.iter().map(|n| specifier("subnet", n)).collect();
    Ok(Wish { constraints, storage, nics, never, scene: Scene::load(tx, [])?, words: words(fields)? })
}

fn count(fields: &Fields, name: &str) -> Result<Option<u32>> {
    // Clients count in halves, and in whole numbers with a point.
    let Some(text) = fields.text(name)? else { return Ok(None) };
    let number: f64 = text.parse().map_err(|_| invalid(name, "Enter a number."))?;
    if !(0.0..=1e9).contains(&number) {
        return Err(invalid(name, "Enter a number that can be."));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    Ok(Some(number.ceil() as u32))
}

fn words(fields: &Fields) -> Result<String> {
    let mut said = Vec::new();
    for name in SAID {
        let all = fields.all(name)?;
        if !all.is_empty() {
            said.push(format!("{name}={}", all.join(",")));
        }
    }
    Ok(if said.is_empty() { "none is ready".to_owned() } else { said.join(" ") })
}

/// `subnet:3`, `space:x`, or a word alone.
fn specifier(alone: &str, text: &str) -> (String, String) {
    match text.split_once(':') {
        // A colon is also in an IPv6 prefix.
        Some((kind, value))
            if !kind.is_empty() && kind.chars().all(|c| c.is_ascii_lowercase() || c == '_') =>
        {
            (kind.to_owned(), value.to_owned())
        }
        _ => (alone.to_owned(), text.to_owned()),
    }
}

/// `label:size(tag,tag),…`; label and tags may be left out.
pub fn storage(text: &str) -> Result<Vec<StorageWish>> {
    let wrong = || invalid("storage", format!("Malformed storage constraint, {text:?}."));
    let (mut all, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let end = rest.find([',', '(']).unwrap_or(rest.len());
        let (head, mut after) = rest.split_at(end);
        let mut tags = Vec::new();
        if let Some(inside) = after.strip_prefix('(') {
            let (list, next) = inside.split_once(')').ok_or_else(wrong)?;
            tags = list.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
            after = next;
        }
        rest = match after.strip_prefix(',') {
            Some(next) => next,
            None if after.is_empty() => "",
            None => return Err(wrong()),
        };
        let (label, size) = head.split_once(':').unwrap_or(("", head));
        let gigabytes: f64 = if size.is_empty() { 0.0 } else { size.trim().parse().map_err(|_| wrong())? };
        if !(0.0..1e9).contains(&gigabytes) {
            return Err(wrong());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
        let bytes = (gigabytes * 1e9) as u64;
        all.push(StorageWish { label: label.trim().to_owned(), bytes, tags });
    }
    Ok(all)
}

/// `label:key=value,key=value;…`.
pub fn interfaces(text: &str) -> Result<Vec<NicWish>> {
    let wrong = || invalid("interfaces", format!("Malformed interfaces constraint, {text:?}."));
    let mut all = Vec::new();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let (label, wants) = part.split_once(':').ok_or_else(wrong)?;
        let mut list = Vec::new();
        for want in wants.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let (key, value) = want.split_once('=').ok_or_else(wrong)?;
            list.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        all.push(NicWish { label: label.trim().to_owned(), wants: list });
    }
    Ok(all)
}

impl Wish {
    /// The machine with what each label found, if it has all.
    pub fn suits(&self, tx: &Tx<'_>, m: &Machine) -> Result<Option<(Machine, Value)>> {
        let Some(disks) = self.disks(&disk::of(tx, m.id)?) else { return Ok(None) };
        let Some(nics) = self.interfaces(&nic::of(tx, m.id)?) else { return Ok(None) };
        let mut by_type = Map::new();
        by_type.insert("storage".into(), disks);
        by_type.insert("interfaces".into(), nics);
        Ok(Some((m.clone(), Value::Object(by_type))))
    }

    fn disks(&self, disks: &[Disk]) -> Option<Value> {
        // The largest wish first, each the smallest disk that will do.
        let mut wishes: Vec<&StorageWish> = self.storage.iter().collect();
        wishes.sort_by_key(|w| std::cmp::Reverse((w.bytes, w.tags.len())));
        let mut free: Vec<&Disk> = disks.iter().filter(|d| !d.removable).collect();
        free.sort_by_key(|d| d.size_bytes);
        let mut found = Map::new();
        for w in wishes {
            let at = free.iter().position(|d| {
                let tags = disk_tags(d);
                d.size_bytes >= w.bytes && w.tags.iter().all(|t| tags.contains(&t.as_str()))
            })?;
            let disk = free.remove(at);
            if !w.label.is_empty() {
                found.insert(w.label.clone(), json!([disk.number]));
            }
        }
        Some(Value::Object(found))
    }

    fn interfaces(&self, nics: &[Nic]) -> Option<Value> {
        let on = |n: &Nic| self.never.iter().any(|want| self.nic_fits(n, std::slice::from_ref(want)));
        if nics.iter().any(on) {
            return None;
        }
        let (mut found, mut used) = (Map::new(), BTreeSet::new());
        for w in &self.nics {
            let fits = |n: &&Nic| self.nic_fits(n, &w.wants);
            let fresh = nics.iter().filter(|n| !used.contains(&n.number)).find(fits);
            // Two labels may mean one NIC when there is no other: `root:space=a;web:space=a`.
            let nic = fresh.or_else(|| nics.iter().find(fits))?;
            used.insert(nic.number);
            if !w.label.is_empty() {
                found.insert(w.label.clone(), json!([nic.number]));
            }
        }
        Some(Value::Object(found))
    }

    fn nic_fits(&self, n: &Nic, wants: &[(String, String)]) -> bool {
        wants.iter().all(|(key, value)| match key.as_str() {
            "name" => n.name == *value,
            "mac" | "mac_address" => n.mac.eq_ignore_ascii_case(value),
            "mode" => true,
            "not_space" => !self.in_space(n, value),
            "space" => self.in_space(n, value),
            "not_subnet" | "not_fabric" => !n.segment.is_some_and(|s| self.is_network(s, &key[4..], value)),
            other => n.segment.is_some_and(|s| self.is_network(s, other, value)),
        })
    }

    fn in_space(&self, n: &Nic, space: &str) -> bool {
        let name = n.segment.map_or(SPACE, |s| self.scene.space_of(s));
        let number = self.scene.spaces.iter().find(|s| s.name == name).map_or(SPACE_NUMBER, |s| s.number);
        space == name || space == number.to_string()
    }

    /// Whether a segment, or one of its subnets, is called so.
    fn is_network(&self, id: SegmentId, key: &str, value: &str) -> bool {
        let (kind, value) = specifier(key, value);
        let Some(s) = self.scene.segment(id) else { return false };
        let (fabric, vid) = (self.scene.fabric_of(s), self.scene.vlan(id).vid);
        let of = self.scene.subnets.iter().filter(|n| n.segment == id);
        match if key == "subnet" { kind.as_str() } else { key } {
            "fabric" => fabric.name == value || fabric.number.to_string() == value,
            "vlan" => s.name == value || s.number.to_string() == value,
            "vid" => vid.to_string() == value || (vid == 0 && value == "untagged"),
            "space" => self.scene.space_of(id) == value,
            "subnet" | "cidr" | "subnet_cidr" | "name" | "id" => of
                .into_iter()
                .any(|s| s.name == value || s.cidr.to_string() == value || s.number.to_string() == value),
            "ip" => {
                value.parse().is_ok_and(|ip: std::net::IpAddr| of.into_iter().any(|s| s.cidr.contains(&ip)))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wishes_as_clients_write_them() {
        let wish = |label: &str, bytes, tags: &[&str]| StorageWish {
            label: label.into(),
            bytes,
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        };
        assert_eq!(
            storage("root:100(ssd,nvme),data:0.5,7").unwrap(),
            [
                wish("root", 100_000_000_000, &["ssd", "nvme"]),
                wish("data", 500_000_000, &[]),
                wish("", 7_000_000_000, &[])
            ]
        );
        assert_eq!(storage("").unwrap(), []);
        for bad in ["x:y", "1(ssd", "1(ssd)x", "-1", "nan", "inf"] {
            assert!(storage(bad).is_err(), "{bad}");
        }
        let nics = interfaces("a:space=x,subnet=3;b:fabric=room;").unwrap();
        assert_eq!(
            nics[0].wants,
            [("space".to_owned(), "x".to_owned()), ("subnet".to_owned(), "3".to_owned())]
        );
        assert_eq!((nics.len(), nics[1].label.as_str()), (2, "b"));
        assert!(interfaces("a").is_err() && interfaces("a:b").is_err());
    }

    proptest! {
        #[test]
        fn anything_at_all(text in "\\PC{0,80}") {
            let _ = storage(&text);
            let _ = interfaces(&text);
        }
    }
}
