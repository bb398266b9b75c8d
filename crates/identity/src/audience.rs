//! Who may know that something of Identity changed.

use base::Result;
use store::change::Audience;
use store::{Tx, params};

/// Whoever may know of a change to what has this id; `None` when it is no more, or of no kind of ours. What is not
/// somebody's own is for those who look after the cloud.
pub fn audience(tx: &Tx<'_>, kind: &str, id: &str) -> Result<Option<Audience>> {
    Ok(match kind {
        // Roles are given to and taken from somebody, whose id the change has.
        "user" | "role" => Some(Audience::User(id.to_owned())),
        "project" | "limit" => Some(Audience::Projects(vec![id.to_owned()])),
        "application_credential" => {
            let sql = "SELECT user_id FROM application_credential WHERE id = $1";
            tx.opt(sql, params![id], |r| r.get(0))?.map(Audience::User)
        }
        "credential" => {
            let sql = "SELECT user_id FROM credential WHERE id = $1";
            tx.opt(sql, params![id], |r| r.get(0))?.map(Audience::User)
        }
        "domain" | "group" | "region" | "service" | "endpoint" | "endpoint_group" | "registered_limit" => {
            Some(Audience::Operators)
        }
        _ => None,
    })
}
