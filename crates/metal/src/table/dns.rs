//! Names that racks answer beside those of machines: domains, names in them, records of names.

use super::number;
use base::doc::rack::DnsRecord;
use base::{Fault, Result};
use store::{Tx, params};

/// A domain. Number 0 is the one of machines, which is not in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub number: i64,
    pub name: String,
    /// Racks answer for it.
    pub authoritative: bool,
    /// Seconds; none: the rack's.
    pub ttl: Option<i64>,
}

pub fn domains(tx: &Tx<'_>) -> Result<Vec<Domain>> {
    tx.rows("SELECT number, name, authoritative, ttl FROM maas_domain ORDER BY number", &[], |r| {
        Ok(Domain { number: r.get(0)?, name: r.get(1)?, authoritative: r.get(2)?, ttl: r.get(3)? })
    })
}

/// A new one where the number is 0; answers it with its number.
///
/// # Errors
/// `Conflict` when there is another of the name.
pub fn put_domain(tx: &Tx<'_>, d: Domain) -> Result<Domain> {
    let number = if d.number == 0 { number(tx, "domain")? } else { d.number };
    tx.exec_unique(
        "INSERT INTO maas_domain (number, name, authoritative, ttl) VALUES ($1, $2, $3, $4)
         ON CONFLICT (number) DO UPDATE SET name = excluded.name, authoritative = excluded.authoritative,
           ttl = excluded.ttl",
        params![number, &d.name, d.authoritative, d.ttl],
        || Fault::conflict(format!("There is a domain {:?} already.", d.name)),
    )?;
    Ok(Domain { number, ..d })
}

/// Without what is in it.
pub fn delete_domain(tx: &Tx<'_>, number: i64) -> Result<()> {
    tx.exec("DELETE FROM maas_domain WHERE number = $1", params![number]).map(drop)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub number: i64,
    pub domain: i64,
    /// Without the domain; `@` is the domain itself.
    pub name: String,
    /// Of its addresses. Seconds.
    pub ttl: Option<i64>,
}

impl Name {
    /// With the domain.
    pub fn whole(&self, domain: &str) -> String {
        if self.name == "@" { domain.to_owned() } else { format!("{}.{domain}", self.name) }
    }
}

pub fn names(tx: &Tx<'_>) -> Result<Vec<Name>> {
    tx.rows("SELECT number, domain, name, address_ttl FROM maas_dns_name ORDER BY number", &[], |r| {
        Ok(Name { number: r.get(0)?, domain: r.get(1)?, name: r.get(2)?, ttl: r.get(3)? })
    })
}

/// A new one where the number is 0; answers it with its number.
///
/// # Errors
/// `Conflict` when the domain has another of the name.
pub fn put_name(tx: &Tx<'_>, n: Name) -> Result<Name> {
    let number = if n.number == 0 { number(tx, "dns_name")? } else { n.number };
    tx.exec_unique(
        "INSERT INTO maas_dns_name (number, domain, name, address_ttl) VALUES ($1, $2, $3, $4)
         ON CONFLICT (number) DO UPDATE SET domain = excluded.domain, name = excluded.name,
           address_ttl = excluded.address_ttl",
        params![number, n.domain, &n.name, n.ttl],
        || Fault::conflict(format!("The domain has a name {:?} already.", n.name)),
    )?;
    Ok(Name { number, ..n })
}

/// With its records.
pub fn delete_name(tx: &Tx<'_>, number: i64) -> Result<()> {
    tx.exec("DELETE FROM maas_dns_name WHERE number = $1", params![number]).map(drop)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub number: i64,
    /// A [`Name::number`].
    pub name: i64,
    /// As in [`DnsRecord`].
    pub kind: String,
    pub data: String,
    pub ttl: Option<i64>,
}

impl Record {
    pub fn is_address(&self) -> bool {
        matches!(self.kind.as_str(), "A" | "AAAA")
    }
}

pub fn records(tx: &Tx<'_>) -> Result<Vec<Record>> {
    tx.rows("SELECT number, name, kind, data, ttl FROM maas_dns_record ORDER BY number", &[], |r| {
        Ok(Record { number: r.get(0)?, name: r.get(1)?, kind: r.get(2)?, data: r.get(3)?, ttl: r.get(4)? })
    })
}

/// A new one where the number is 0; answers it with its number.
pub fn put_record(tx: &Tx<'_>, r: Record) -> Result<Record> {
    let number = if r.number == 0 { number(tx, "dns_record")? } else { r.number };
    tx.exec(
        "INSERT INTO maas_dns_record (number, name, kind, data, ttl) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (number) DO UPDATE SET name = excluded.name, kind = excluded.kind, data = excluded.data,
           ttl = excluded.ttl",
        params![number, r.name, &r.kind, &r.data, r.ttl],
    )?;
    Ok(Record { number, ..r })
}

pub fn delete_record(tx: &Tx<'_>, number: i64) -> Result<()> {
    tx.exec("DELETE FROM maas_dns_record WHERE number = $1", params![number]).map(drop)
}

/// What racks are told: domains, and records of whole names.
pub fn told(tx: &Tx<'_>, machines: &str) -> Result<(Vec<String>, Vec<DnsRecord>)> {
    let domains = domains(tx)?;
    let of = |number: i64| match number {
        0 => Some((machines, None)),
        n => domains.iter().find(|d| d.number == n && d.authoritative).map(|d| (d.name.as_str(), d.ttl)),
    };
    let (names, mut all) = (names(tx)?, Vec::new());
    for r in records(tx)? {
        let Some(n) = names.iter().find(|n| n.number == r.name) else { continue };
        let Some((domain, ttl)) = of(n.domain) else { continue };
        let own = if r.is_address() { n.ttl } else { r.ttl };
        let ttl = own.or(ttl).and_then(|t| u32::try_from(t).ok());
        all.push(DnsRecord { name: n.whole(domain), kind: r.kind, data: r.data, ttl });
    }
    let zones = domains.iter().filter(|d| d.authoritative).map(|d| d.name.clone()).collect();
    Ok((zones, all))
}
