//! SQL of Identity, one file a noun. `find` answers an option, `get` the API's 404.

pub mod access_rule;
pub mod credential;
pub mod domain;
pub mod endpoint;
pub mod endpoint_filter;
pub mod grant;
pub mod group;
pub mod limit;
pub mod project;
pub mod region;
pub mod revocation;
pub mod role;
pub mod service;
pub mod stored;
pub mod trust;
pub mod user;

use crate::model::Extra;
use api::Page;
use base::{Fault, Result};
use store::{Row, Sql, Tx, params};

/// `Could not find project: x.`
pub fn missing(noun: &str, id: &str) -> Fault {
    let id: String = id.chars().take(255).collect();
    Fault::not_found(format!("Could not find {noun}: {id}."))
}

/// The refusal of a name that is taken.
pub fn taken(noun: &str, name: &str, domain: Option<&str>) -> Fault {
    let place = domain.map(|d| format!(" at domain ID {d}")).unwrap_or_default();
    Fault::conflict(format!(
        "Conflict occurred attempting to store {noun} - Duplicate entry found with name {name}{place}."
    ))
}

/// Takes a row for this transaction, so that two changes of it follow each other.
///
/// # Errors
/// 404 when there is no such row.
pub fn lock(tx: &Tx<'_>, table: &'static str, noun: &str, id: &str) -> Result<()> {
    match tx.exec(&format!("UPDATE {table} SET id = id WHERE id = $1"), params![id])? {
        0 => Err(missing(noun, id)),
        _ => Ok(()),
    }
}

/// The rows of a page of a list, and whether there are more.
pub fn page<T>(
    tx: &Tx<'_>,
    q: &mut Sql,
    table: &'static str,
    page: &Page,
    f: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<(Vec<T>, bool)> {
    if let Some(marker) = &page.marker {
        let at =
            tx.opt(&format!("SELECT created_at FROM {table} WHERE id = $1"), params![marker], |r| r.get(0))?;
        let at = at.ok_or_else(|| Fault::bad_request(format!("marker [{marker}] not found")))?;
        q.after(at, marker, false);
    }
    q.push(" ORDER BY created_at, id").limit(page.fetch());
    let mut rows = q.rows(tx, f)?;
    let more = page.cut(&mut rows);
    Ok((rows, more))
}

fn extra(r: &Row<'_>, i: usize) -> Result<Extra> {
    Ok(serde_json::from_str(&r.get::<String>(i)?)?)
}

fn extra_text(extra: &Extra) -> Result<String> {
    Ok(serde_json::to_string(extra)?)
}
