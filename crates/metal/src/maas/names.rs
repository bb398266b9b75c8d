//! `domains/`, `dnsresources/` and `dnsresourcerecords/`: names that racks answer beside those of machines.
//!
//! Domain 0 is the one of machines: its name is configured, and names may be added to it. The addresses of a name are
//! records as well, and are shown apart as MAAS does.

use super::fabrics::{always, of_field};
use super::fields::{Fields, invalid};
use super::{Call, Door, missing};
use crate::table::dns::{self, Domain, Name, Record};
use crate::table::rack;
use api::Reply;
use base::{Fault, Result};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use store::{Tx, log::audit, params};

const API: &str = "/MAAS/api/2.0";
/// Longest time that an answer may be kept, in seconds: a week.
const TTL_MAX: i64 = 604_800;

/// What there is, read once.
struct All {
    domains: Vec<Domain>,
    names: Vec<Name>,
    records: Vec<Record>,
}

impl All {
    fn load(tx: &Tx<'_>, machines: &str) -> Result<All> {
        let mut domains =
            vec![Domain { number: 0, name: machines.to_owned(), authoritative: true, ttl: None }];
        domains.extend(dns::domains(tx)?);
        Ok(All { domains, names: dns::names(tx)?, records: dns::records(tx)? })
    }
    fn domain(&self, key: &str) -> Option<&Domain> {
        let key = key.trim_end_matches('.');
        self.domains.iter().find(|d| d.number.to_string() == key || d.name.eq_ignore_ascii_case(key))
    }
    fn whole(&self, n: &Name) -> String {
        let of = self.domains.iter().find(|d| d.number == n.domain);
        n.whole(of.map_or("", |d| d.name.as_str()))
    }
    fn of<'a>(&'a self, n: &'a Name) -> impl Iterator<Item = &'a Record> {
        self.records.iter().filter(|r| r.name == n.number)
    }
    fn domain_view(&self, d: &Domain) -> Value {
        let inside = self.names.iter().filter(|n| n.domain == d.number).flat_map(|n| self.of(n)).count();
        json!({
            "id": d.number, "name": d.name, "authoritative": d.authoritative, "ttl": d.ttl,
            "is_default": d.number == 0, "resource_record_count": inside,
            "resource_uri": format!("{API}/domains/{}/", d.number),
        })
    }
    fn name_view(&self, n: &Name) -> Value {
        let (addresses, others): (Vec<&Record>, Vec<&Record>) = self.of(n).partition(|r| r.is_address());
        let ips = addresses.iter().map(|r| json!({"ip": r.data, "alloc_type": 4, "interface_set": []}));
        json!({
            "id": n.number, "fqdn": self.whole(n), "address_ttl": n.ttl,
            "ip_addresses": ips.collect::<Vec<_>>(),
            "resource_records": others.iter().map(|r| self.record_view(n, r)).collect::<Vec<_>>(),
            "resource_uri": format!("{API}/dnsresources/{}/", n.number),
        })
    }
    fn record_view(&self, n: &Name, r: &Record) -> Value {
        json!({
            "id": r.number, "fqdn": self.whole(n), "rrtype": r.kind, "rrdata": r.data, "ttl": r.ttl,
            "resource_uri": format!("{API}/dnsresourcerecords/{}/", r.number),
        })
    }
}

async fn shown<F>(door: Arc<Door>, call: Call, f: F) -> Result<Reply>
where
    F: FnOnce(&Tx<'_>, &All, &Call) -> Result<Value> + Send + 'static,
{
    let machines = door.metal.settings.domain.clone();
    let of = move |tx: &Tx<'_>| f(tx, &All::load(tx, &machines)?, &call);
    Ok(Reply::json(200, &door.db.read(of).await?))
}

/// Writes, has racks told, and answers what `view` makes of what was written.
async fn changed<F, V>(door: Arc<Door>, call: Call, verb: &'static str, f: F, view: V) -> Result<Reply>
where
    F: FnOnce(&Tx<'_>, &All, &Call) -> Result<i64> + Send + 'static,
    V: FnOnce(&All, i64) -> Option<Value> + Send + 'static,
{
    let machines = door.metal.settings.domain.clone();
    let done = move |tx: &Tx<'_>| {
        let number = f(tx, &All::load(tx, &machines)?, &call)?;
        rack::touch_all(tx)?;
        audit(tx, &call.who(), verb, &number.to_string())?;
        Ok(view(&All::load(tx, &machines)?, number))
    };
    match door.db.write(done).await? {
        Some(value) => Ok(Reply::json(200, &value)),
        None => Ok(Reply::empty(204)),
    }
}

fn ttl(f: &Fields, field: &str, old: Option<i64>) -> Result<Option<i64>> {
    if !f.has(field) {
        return Ok(old);
    }
    match f.int(field)? {
        Some(ttl) if !(1..=TTL_MAX).contains(&ttl) => {
            Err(invalid(field, format!("Ensure this value is 1 to {TTL_MAX} seconds.")))
        }
        ttl => Ok(ttl),
    }
}

/// Labels of a name; `strict` for those that hosts have.
fn good(name: &str, strict: bool) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || (!strict && b == b'_');
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && l.bytes().all(letter) && !l.starts_with('-') && !l.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

pub async fn domains(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |_, all, _| Ok(all.domains.iter().map(|d| all.domain_view(d)).collect())).await
}

pub async fn domain(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |_, all, c| Ok(all.domain_view(all.domain(c.param("id")).ok_or_else(missing)?))).await
}

fn domain_view(all: &All, number: i64) -> Option<Value> {
    all.domains.iter().find(|d| d.number == number).map(|d| all.domain_view(d))
}

/// What a request says of a domain.
fn domain_of(f: &Fields, old: Domain) -> Result<Domain> {
    always(f, "forward_dns_servers", "", "Names outside are asked of the racks' upstream servers.")?;
    let name = f.text("name")?.unwrap_or(old.name).trim_end_matches('.').to_ascii_lowercase();
    if !good(&name, false) {
        return Err(invalid("name", format!("Invalid domain name: {name}.")));
    }
    let authoritative = f.bool("authoritative")?.unwrap_or(old.authoritative);
    Ok(Domain { name, authoritative, ttl: ttl(f, "ttl", old.ttl)?, ..old })
}

/// POST domains/ (`name`, `authoritative`, `ttl`)
pub async fn create_domain(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = |tx: &Tx<'_>, all: &All, c: &Call| {
        c.fields.need("name")?;
        let empty = Domain { number: 0, name: String::new(), authoritative: true, ttl: None };
        let new = domain_of(&c.fields, empty)?;
        if all.domain(&new.name).is_some() {
            return Err(invalid("name", "Domain with this Name already exists."));
        }
        Ok(dns::put_domain(tx, new).map_err(of_field("name"))?.number)
    };
    changed(door, call, "domain.create", f, domain_view).await
}

/// The domain in the path, if it is none that is configured.
fn changeable<'a>(all: &'a All, c: &Call) -> Result<&'a Domain> {
    let d = all.domain(c.param("id")).ok_or_else(missing)?;
    if d.number == 0 {
        return Err(Fault::bad_request(
            "The domain of machines is always metal; there is no other to be chosen.",
        ));
    }
    Ok(d)
}

/// PUT domains/ID/
pub async fn update_domain(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = |tx: &Tx<'_>, all: &All, c: &Call| {
        let new = domain_of(&c.fields, changeable(all, c)?.clone())?;
        if all.domain(&new.name).is_some_and(|d| d.number != new.number) {
            return Err(invalid("name", "Domain with this Name already exists."));
        }
        Ok(dns::put_domain(tx, new).map_err(of_field("name"))?.number)
    };
    changed(door, call, "domain.update", f, domain_view).await
}

/// DELETE domains/ID/, with its names.
pub async fn delete_domain(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = |tx: &Tx<'_>, all: &All, c: &Call| {
        let d = changeable(all, c)?;
        for n in all.names.iter().filter(|n| n.domain == d.number) {
            dns::delete_name(tx, n.number)?;
        }
        dns::delete_domain(tx, d.number)?;
        Ok(d.number)
    };
    changed(door, call, "domain.delete", f, |_, _| None).await
}

/// Whether a name is among those that the query asks for.
fn asked(all: &All, f: &Fields, n: &Name) -> Result<bool> {
    let is = |field: &str, value: &str| {
        Ok::<_, Fault>(f.text(field)?.is_none_or(|t| t.eq_ignore_ascii_case(value)))
    };
    let domain = f.text("domain")?.is_none_or(|key| all.domain(&key).is_some_and(|d| d.number == n.domain));
    let kind = f.text("rrtype")?.is_none_or(|kind| all.of(n).any(|r| r.kind.eq_ignore_ascii_case(&kind)));
    Ok(is("fqdn", &all.whole(n))? && is("name", &n.name)? && domain && kind)
}

/// GET dnsresources/ (`fqdn`, `name`, `domain`, `rrtype`; `all`: with the names of machines)
pub async fn resources(door: Arc<Door>, call: Call) -> Result<Reply> {
    let metal = door.metal.clone();
    shown(door, call, move |tx, all, c| {
        let mut found = Vec::new();
        for n in &all.names {
            if asked(all, &c.fields, n)? {
                found.push(all.name_view(n));
            }
        }
        if c.fields.bool("all")? == Some(true) {
            let mut machines = crate::table::list::all(tx, &crate::table::list::Filter::default(), 20_000)?;
            machines.retain(|m| super::machines::visible(&c.auth, m));
            for w in metal.wholes(tx, machines)? {
                let fqdn = format!("{}.{}", w.machine.name, metal.settings.domain);
                let ips = w.nics.iter().flat_map(|n| &n.addresses);
                let ips: Vec<Value> = ips.map(|a| json!({"ip": a.to_string(), "alloc_type": 0})).collect();
                if !ips.is_empty() && c.fields.text("fqdn")?.is_none_or(|f| f == fqdn) {
                    found.push(json!({
                        "id": null, "fqdn": fqdn, "address_ttl": null, "ip_addresses": ips,
                        "resource_records": [], "resource_uri": null,
                    }));
                }
            }
        }
        Ok(Value::Array(found))
    })
    .await
}

fn name_in<'a>(all: &'a All, c: &Call) -> Result<&'a Name> {
    let key = c.param("id");
    all.names.iter().find(|n| n.number.to_string() == key).ok_or_else(missing)
}

pub async fn resource(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |_, all, c| Ok(all.name_view(name_in(all, c)?))).await
}

fn name_view(all: &All, number: i64) -> Option<Value> {
    all.names.iter().find(|n| n.number == number).map(|n| all.name_view(n))
}

/// Domain and name of `fqdn`, or of `name` and `domain`. The longest domain that fits.
fn split(all: &All, f: &Fields) -> Result<(i64, String)> {
    let (domain, name) = match (f.text("fqdn")?, f.text("name")?) {
        (Some(fqdn), _) => {
            let fqdn = fqdn.trim_end_matches('.').to_ascii_lowercase();
            let inside = |d: &&Domain| fqdn == d.name || fqdn.ends_with(&format!(".{}", d.name));
            let found = all.domains.iter().filter(inside).max_by_key(|d| d.name.len());
            let d =
                found.ok_or_else(|| invalid("fqdn", "There is no domain of this name. Make it first."))?;
            let rest = fqdn.strip_suffix(&d.name).unwrap_or_default().trim_end_matches('.');
            (d, if rest.is_empty() { "@".to_owned() } else { rest.to_owned() })
        }
        (None, Some(name)) => {
            let key = f.text("domain")?.unwrap_or_else(|| "0".to_owned());
            let d =
                all.domain(&key).ok_or_else(|| invalid("domain", format!("Unable to find domain {key}.")))?;
            (d, name.to_ascii_lowercase())
        }
        (None, None) => return Err(invalid("name", "Either name and domain or fqdn must be specified.")),
    };
    if name != "@" && !good(&name, false) {
        return Err(invalid("name", format!("Invalid dnsresource name: {name}.")));
    }
    Ok((domain.number, name))
}

fn ips(f: &Fields) -> Result<Option<Vec<IpAddr>>> {
    if !f.has("ip_addresses") {
        return Ok(None);
    }
    let all = f.words("ip_addresses")?.into_iter().map(|t| t.parse());
    let parsed: std::result::Result<Vec<IpAddr>, _> = all.collect();
    parsed.map(Some).map_err(|_| invalid("ip_addresses", "Enter IP addresses, with blanks between them."))
}

/// Puts these in the place of a name's addresses.
fn set_ips(tx: &Tx<'_>, all: &All, name: i64, ips: &[IpAddr]) -> Result<()> {
    let own = || all.records.iter().filter(|r| r.name == name);
    if !ips.is_empty() && own().any(|r| r.kind == "CNAME") {
        return Err(invalid("ip_addresses", "The name is an alias (CNAME), which has no addresses."));
    }
    own().filter(|r| r.is_address()).try_for_each(|r| dns::delete_record(tx, r.number))?;
    ips.iter().try_for_each(|ip| add_ip(tx, name, *ip))
}

fn add_ip(tx: &Tx<'_>, name: i64, ip: IpAddr) -> Result<()> {
    let kind = if ip.is_ipv4() { "A" } else { "AAAA" };
    let data = ip.to_string();
    dns::put_record(tx, Record { number: 0, name, kind: kind.to_owned(), data, ttl: None }).map(drop)
}

/// POST dnsresources/ (`fqdn` or `name` and `domain`, `address_ttl`, `ip_addresses`)
pub async fn create_resource(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = |tx: &Tx<'_>, all: &All, c: &Call| {
        let (domain, name) = split(all, &c.fields)?;
        let ips = ips(&c.fields)?.unwrap_or_default();
        if ips.is_empty() {
            return Err(invalid("ip_addresses", "This field is required."));
        }
        let new = Name { number: 0, domain, name, ttl: ttl(&c.fields, "address_ttl", None)? };
        let n = dns::put_name(tx, new).map_err(of_field("name"))?;
        set_ips(tx, all, n.number, &ips)?;
        Ok(n.number)
    };
    changed(door, call, "dns.create", f, name_view).await
}

/// PUT dnsresources/ID/
pub async fn update_resource(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = |tx: &Tx<'_>, all: &All, c: &Call| {
        let mut n = name_in(all, c)?.clone();
        if c.fields.has("fqdn") || c.fields.has("name") {
            (n.domain, n.name) = split(all, &c.fields)?;
        }
        n.ttl = ttl(&c.fields, "address_ttl", n.ttl)?;
        let n = dns::put_name(tx, n).map_err(of_field("name"))?;
        if let Some(ips) = ips(&c.fields)? {
            set_ips(tx, all, n.number, &ips)?;
        }
        Ok(n.number)
    };
    changed(door, call, "dns.update", f, name_view).await
}

/// DELETE dnsresources/ID/, with its records.
pub async fn delete_resource(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = |tx: &Tx<'_>, all: &All, c: &Call| {
        let n = name_in(all, c)?;
        dns::delete_name(tx, n.number)?;
        Ok(n.number)
    };
    changed(door, call, "dns.delete", f, |_, _| None).await
}

fn record_in<'a>(all: &'a All, c: &Call) -> Result<(&'a Name, &'a Record)> {
    let key = c.param("id");
    let r =
        all.records.iter().find(|r| !r.is_address() && r.number.to_string() == key).ok_or_else(missing)?;
    Ok((all.names.iter().find(|n| n.number == r.name).ok_or_else(missing)?, r))
}

fn record_view(all: &All, number: i64) -> Option<Value> {
    let r = all.records.iter().find(|r| r.number == number)?;
    Some(all.record_view(all.names.iter().find(|n| n.number == r.name)?, r))
}

/// GET dnsresourcerecords/ (`fqdn`, `name`, `domain`, `rrtype`)
pub async fn records(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |_, all, c| {
        let kind = c.fields.text("rrtype")?;
        let mut found = Vec::new();
        for n in &all.names {
            if asked(all, &c.fields, n)? {
                let fits = |r: &&Record| {
                    !r.is_address() && kind.as_ref().is_none_or(|k| r.kind.eq_ignore_ascii_case(k))
                };
                found.extend(all.of(n).filter(fits).map(|r| all.record_view(n, r)));
            }
        }
        Ok(Value::Array(found))
    })
    .await
}

pub async fn record(door: Arc<Door>, call: Call) -> Result<Reply> {
    shown(door, call, |_, all, c| {
        let (n, r) = record_in(all, c)?;
        Ok(all.record_view(n, r))
    })
    .await
}

/// What a record of a kind may hold.
fn sane(kind: &str, data: &str) -> bool {
    let words: Vec<&str> = data.split_whitespace().collect();
    let name = |n: &str| good(n.trim_end_matches('.'), false);
    let small = |n: &str| n.parse::<u16>().is_ok();
    match (kind, words.as_slice()) {
        ("TXT", _) => data.len() <= 4096 && !data.is_empty(),
        ("CNAME" | "NS", [n]) => name(n),
        ("MX", [p, n]) => small(p) && name(n),
        ("SRV", [a, b, c, n]) => small(a) && small(b) && small(c) && (*n == "." || name(n)),
        ("SSHFP", [a, t, print]) => {
            a.parse::<u8>().is_ok()
                && t.parse::<u8>().is_ok()
                && hex::decode(print).is_ok_and(|p| !p.is_empty())
        }
        _ => false,
    }
}

/// What a request says of a record.
fn record_of(f: &Fields, old: Record) -> Result<Record> {
    let kind = f.text("rrtype")?.unwrap_or(old.kind).to_ascii_uppercase();
    let data = f.text("rrdata")?.unwrap_or(old.data);
    match kind.as_str() {
        "A" | "AAAA" => {
            return Err(invalid("rrtype", "Addresses are the ip_addresses of a dnsresource: dnsresources/."));
        }
        "CNAME" | "MX" | "NS" | "SRV" | "SSHFP" | "TXT" => {}
        _ => return Err(invalid("rrtype", "Use CNAME, MX, NS, SRV, SSHFP or TXT.")),
    }
    if !sane(&kind, &data) {
        return Err(invalid("rrdata", format!("{data:?} is no data of a {kind} record.")));
    }
    Ok(Record { kind, data, ttl: ttl(f, "ttl", old.ttl)?, ..old })
}

/// An alias is nothing else (RFC 1034, 3.6.2).
fn alone(all: &All, r: &Record) -> Result<()> {
    let others = || all.records.iter().filter(|o| o.name == r.name && o.number != r.number);
    let clash = if r.kind == "CNAME" { others().next() } else { others().find(|o| o.kind == "CNAME") };
    match clash {
        Some(_) => Err(invalid("rrtype", "CNAME records for a name cannot coexist with non-CNAME records.")),
        None => Ok(()),
    }
}

/// POST dnsresourcerecords/ (`fqdn` or `name` and `domain`, `rrtype`, `rrdata`, `ttl`)
pub async fn create_record(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = |tx: &Tx<'_>, all: &All, c: &Call| {
        c.fields.need("rrtype")?;
        c.fields.need("rrdata")?;
        let empty = Record { number: 0, name: 0, kind: String::new(), data: String::new(), ttl: None };
        let mut new = record_of(&c.fields, empty)?;
        let (domain, name) = split(all, &c.fields)?;
        let there = all.names.iter().find(|n| n.domain == domain && n.name == name);
        new.name = match there {
            Some(n) => n.number,
            None => dns::put_name(tx, Name { number: 0, domain, name, ttl: None })?.number,
        };
        alone(all, &new)?;
        Ok(dns::put_record(tx, new)?.number)
    };
    changed(door, call, "dns.record.create", f, record_view).await
}

/// PUT dnsresourcerecords/ID/ (`rrtype`, `rrdata`, `ttl`)
pub async fn update_record(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = |tx: &Tx<'_>, all: &All, c: &Call| {
        let new = record_of(&c.fields, record_in(all, c)?.1.clone())?;
        alone(all, &new)?;
        Ok(dns::put_record(tx, new)?.number)
    };
    changed(door, call, "dns.record.update", f, record_view).await
}

/// DELETE dnsresourcerecords/ID/. With its last record a name goes.
pub async fn delete_record(door: Arc<Door>, call: Call) -> Result<Reply> {
    let f = |tx: &Tx<'_>, all: &All, c: &Call| {
        let (n, r) = record_in(all, c)?;
        drop_record(tx, all, n, r)?;
        Ok(r.number)
    };
    changed(door, call, "dns.record.delete", f, |_, _| None).await
}

fn drop_record(tx: &Tx<'_>, all: &All, n: &Name, r: &Record) -> Result<()> {
    dns::delete_record(tx, r.number)?;
    if all.of(n).all(|o| o.number == r.number) { dns::delete_name(tx, n.number) } else { Ok(()) }
}

/// The number of a host name's domain, which is the one of machines where it names no other, and its name in there.
fn placed(all: &All, host: &str) -> Result<(i64, String)> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if !good(&host, true) {
        return Err(invalid("hostname", format!("Invalid hostname: {host}.")));
    }
    let inside = |d: &&Domain| host.ends_with(&format!(".{}", d.name));
    Ok(match all.domains.iter().filter(inside).max_by_key(|d| d.name.len()) {
        Some(d) => (d.number, host[..host.len() - d.name.len() - 1].to_owned()),
        None => (0, host),
    })
}

/// # Errors
/// `Conflict` for a host name that is a machine's, or leads somewhere already.
pub fn not_taken(tx: &Tx<'_>, machines: &str, host: &str) -> Result<()> {
    let all = All::load(tx, machines)?;
    let (domain, name) = placed(&all, host)?;
    let sql = "SELECT 1 FROM machine WHERE name = $1 AND deleted_at IS NULL";
    let a_machine = domain == 0 && tx.opt(sql, params![&name], |_| Ok(()))?.is_some();
    let leads = |n: &Name| n.domain == domain && n.name == name && all.of(n).next().is_some();
    if a_machine || all.names.iter().any(leads) {
        return Err(Fault::conflict(format!("The name {host} is taken. Choose another.")));
    }
    Ok(())
}

/// Has a host name lead to an address, in its own domain or in the one of machines.
pub fn point(tx: &Tx<'_>, machines: &str, host: &str, ip: IpAddr) -> Result<()> {
    let all = All::load(tx, machines)?;
    let (domain, name) = placed(&all, host)?;
    let there = all.names.iter().find(|n| n.domain == domain && n.name == name).map(|n| n.number);
    let number = match there {
        Some(number) => number,
        None => dns::put_name(tx, Name { number: 0, domain, name, ttl: None })?.number,
    };
    add_ip(tx, number, ip)
}

/// Takes an address off all names.
pub fn forget_address(tx: &Tx<'_>, ip: IpAddr) -> Result<()> {
    let all = All::load(tx, "")?;
    let same = |r: &&Record| r.is_address() && r.data.parse().is_ok_and(|a: IpAddr| a == ip);
    for r in all.records.iter().filter(same) {
        if let Some(n) = all.names.iter().find(|n| n.number == r.name) {
            drop_record(tx, &all, n, r)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{good, sane};

    #[test]
    fn records_hold_what_their_kind_may() {
        for (kind, data) in [
            ("TXT", "anything at all"),
            ("CNAME", "db.example."),
            ("MX", "10 mail.example"),
            ("SRV", "0 5 5060 sip.example"),
            ("SSHFP", "4 2 00ffee"),
            ("NS", "ns1.example"),
        ] {
            assert!(sane(kind, data), "{kind} {data}");
        }
        for (kind, data) in [
            ("MX", "mail"),
            ("MX", "99999 m"),
            ("SRV", "1 2 m"),
            ("SSHFP", "4 2 x"),
            ("CNAME", "a b"),
            ("X", ""),
        ] {
            assert!(!sane(kind, data), "{kind} {data}");
        }
        assert!(
            good("_ldap._tcp", false) && !good("_ldap", true) && !good("a..b", true) && !good("-a", true)
        );
    }
}
