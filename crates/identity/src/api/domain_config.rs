//! What is configured for one domain (`/v3/domains/{id}/config`).
//!
//! Only what is true is kept: users live in this database (`identity.driver` is `sql`), and
//! `identity.list_limit` cuts the lists of a domain's users and groups. Users from a directory (`ldap`)
//! are refused, for nothing would read that.

use crate::{Identity, table};
use api::{Reply, Req};
use base::{DomainId, Fault, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Tx, log::audit, params};

const SECTION: &str = "identity";
const OPTIONS: [&str; 2] = ["driver", "list_limit"];

/// Values by option.
type Options = Map<String, Value>;

fn defaults() -> Options {
    [("driver".to_owned(), json!("sql")), ("list_limit".to_owned(), Value::Null)].into_iter().collect()
}

fn no_such(section: &str, option: &str) -> Fault {
    let what = if option.is_empty() { section.to_owned() } else { format!("{option} in group {section}") };
    Fault::forbidden(format!(
        "Invalid domain specific configuration: {what} is not supported. Supported are driver (\"sql\") and list_limit in group identity: all users are kept in this cloud's own database."
    ))
}

fn check(option: &str, value: &Value) -> Result<()> {
    let good = match option {
        "driver" => value == "sql",
        _ => value.is_null() || value.as_i64().is_some_and(|n| n > 0),
    };
    match (OPTIONS.contains(&option), good) {
        (true, true) => Ok(()),
        (true, false) if option == "list_limit" => Err(Fault::bad_request(
            "Invalid input for field/attribute list_limit. A number above 0 is expected",
        )),
        _ => Err(no_such(SECTION, option)),
    }
}

/// What the path is about.
fn asked(req: &Req) -> Result<(&str, &str)> {
    let (group, option) = (req.text_param("group"), req.text_param("option"));
    // Directories are known here as far as that there are none.
    let known = group.is_empty() || group == SECTION || (group == "ldap" && option.is_empty());
    if !known || !(option.is_empty() || OPTIONS.contains(&option)) {
        return Err(no_such(group, option));
    }
    Ok((group, option))
}

/// The configuration, or the part of it that the path is about.
fn part(options: &Options, group: &str, option: &str) -> Option<Value> {
    if option.is_empty() {
        let all = !options.is_empty() && group != "ldap";
        return all.then(|| json!({SECTION: options}));
    }
    options.get(option).map(|value| json!({option: value}))
}

/// GET /v3/domains/config/default and its parts.
pub async fn show_default(_: Arc<Identity>, req: Req) -> Result<Reply> {
    let (group, option) = (req.text_param("group"), req.text_param("option"));
    if group == "ldap" && option.is_empty() {
        return Ok(Reply::json(200, &json!({"config": {"ldap": {}}})));
    }
    asked(&req)?;
    let mut shown = part(&defaults(), group, option).unwrap_or_default();
    if group.is_empty() {
        // The group is known, and has no option here.
        shown["ldap"] = json!({});
    }
    Ok(Reply::json(200, &json!({"config": shown})))
}

fn read(tx: &Tx<'_>, identity: &Identity, domain: &DomainId) -> Result<Options> {
    let sql = "SELECT name, value FROM domain_config WHERE domain_id = $1 AND section = $2 ORDER BY name";
    let rows = tx.rows(sql, params![domain, SECTION], |r| Ok((r.get::<String>(0)?, r.get::<String>(1)?)))?;
    let open = |(name, sealed): (String, String)| {
        Ok((name, serde_json::from_str(&identity.keys.open_kept(&sealed)?)?))
    };
    rows.into_iter().map(open).collect()
}

fn write(tx: &Tx<'_>, identity: &Identity, domain: &DomainId, options: &Options) -> Result<()> {
    tx.exec("DELETE FROM domain_config WHERE domain_id = $1", params![domain])?;
    for (name, value) in options {
        tx.exec(
            "INSERT INTO domain_config (domain_id, section, name, value) VALUES ($1, $2, $3, $4)",
            params![domain, SECTION, name, identity.keys.keep(&value.to_string())],
        )?;
    }
    Ok(())
}

/// The page that lists of a domain's users and groups are cut to, if one is configured.
pub async fn list_limit(identity: &Arc<Identity>, domain: Option<String>) -> Result<Option<usize>> {
    let Some(domain) = domain else { return Ok(None) };
    let own = identity.clone();
    let options = identity.db.read(move |tx| read(tx, &own, &DomainId(domain))).await?;
    Ok(options.get("list_limit").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()))
}

fn missing(domain: &DomainId, group: &str, option: &str) -> Fault {
    let what = match (group, option) {
        ("", _) => "any options".to_owned(),
        (group, "") => format!("group {group}"),
        (group, option) => format!("option {option} in group {group}"),
    };
    Fault::not_found(format!("Could not find {what} in domain configuration for domain {domain}."))
}

pub async fn show(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (group, option) = asked(&req)?;
    let domain = DomainId::from(req.text_param("id"));
    let (id, own) = (domain.clone(), identity.clone());
    let options = identity
        .db
        .read(move |tx| {
            table::domain::get(tx, &id)?;
            read(tx, &own, &id)
        })
        .await?;
    let shown = part(&options, group, option);
    let shown = shown.ok_or_else(|| missing(&domain, group, option))?;
    Ok(Reply::json(200, &json!({"config": shown})))
}

/// The options in a body: `{"config": {"identity": {…}}}`, or for one option `{"config": {"driver": …}}`.
async fn sent(req: &mut Req) -> Result<Options> {
    let config = req.json().await?.inner("config")?;
    let (group, option) = asked(req)?;
    if group == "ldap" {
        return Err(no_such(group, option));
    }
    let options = if option.is_empty() {
        if let Some(other) = config.map.keys().find(|k| *k != SECTION) {
            return Err(no_such(other, ""));
        }
        config.inner(SECTION)?.map
    } else {
        config.map
    };
    let wrong = options.keys().find(|k| !option.is_empty() && *k != option);
    if let Some(other) = wrong {
        return Err(Fault::forbidden(format!(
            "Invalid domain specific configuration: the request is about {option} in group {group}, and names {other}."
        )));
    }
    options.iter().try_for_each(|(name, value)| check(name, value))?;
    Ok(options)
}

/// PUT /v3/domains/{id}/config: the whole of it.
pub async fn put(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let new = sent(&mut req).await?;
    let (id, who, own) = (DomainId::from(req.text_param("id")), req.who(), identity.clone());
    let (new, created) = identity
        .write(move |tx| {
            table::lock(tx, "domain", "domain", id.as_str())?;
            let created = read(tx, &own, &id)?.is_empty();
            write(tx, &own, &id, &new)?;
            audit(tx, &who, "domain_config.put", id.as_str())?;
            Ok((new, created))
        })
        .await?;
    let status = if created { 201 } else { 200 };
    Ok(Reply::json(status, &json!({"config": part(&new, "", "")})))
}

/// PATCH of the whole, a group or an option, of which there must be something.
pub async fn update(identity: Arc<Identity>, mut req: Req) -> Result<Reply> {
    let new = sent(&mut req).await?;
    let (group, option) = asked(&req)?;
    let (group, option) = (group.to_owned(), option.to_owned());
    let (id, who, own) = (DomainId::from(req.text_param("id")), req.who(), identity.clone());
    let all = identity
        .write(move |tx| {
            table::lock(tx, "domain", "domain", id.as_str())?;
            let mut all = read(tx, &own, &id)?;
            if all.is_empty() || (!option.is_empty() && !all.contains_key(&option)) {
                return Err(missing(&id, &group, &option));
            }
            all.extend(new);
            write(tx, &own, &id, &all)?;
            audit(tx, &who, "domain_config.update", id.as_str())?;
            Ok(all)
        })
        .await?;
    Ok(Reply::json(200, &json!({"config": part(&all, "", "")})))
}

pub async fn delete(identity: Arc<Identity>, req: Req) -> Result<Reply> {
    let (group, option) = asked(&req)?;
    let (group, option) = (group.to_owned(), option.to_owned());
    let (id, who, own) = (DomainId::from(req.text_param("id")), req.who(), identity.clone());
    identity
        .write(move |tx| {
            table::lock(tx, "domain", "domain", id.as_str())?;
            let mut all = read(tx, &own, &id)?;
            let gone = !option.is_empty() && all.remove(&option).is_none();
            if gone || (!group.is_empty() && part(&all, &group, "").is_none() && option.is_empty()) {
                return Err(missing(&id, &group, &option));
            }
            if option.is_empty() {
                all.clear();
            }
            write(tx, &own, &id, &all)?;
            audit(tx, &who, "domain_config.delete", id.as_str())
        })
        .await?;
    Ok(Reply::empty(204))
}
