//! Handlers, one noun a file: parse, call, answer.

pub mod action;
pub mod agent;
pub mod aggregates;
pub mod attachments;
pub mod certificates;
pub mod cloud;
pub mod console;
pub mod create;
pub mod diagnostics;
pub mod drain;
pub mod external;
pub mod extra_specs;
pub mod filters;
pub mod flavors;
pub mod groups;
pub mod hosts;
pub mod hypervisors;
pub mod instance_actions;
pub mod interfaces;
pub mod join;
pub mod keypairs;
pub mod keys;
pub mod metadata;
pub mod metrics;
pub mod migrations;
pub mod password;
pub mod personality;
pub mod quotas;
pub mod servers;
pub mod services;
pub mod tags;
pub mod topology;
pub mod usage;
pub mod versions;
pub mod why;
pub mod wish;

use crate::model::Server;
use crate::table::server;
use api::{Auth, Req, Version};
use base::{Fault, HostId, Result, ServerId};
use serde_json::{Value, json};
use store::Tx;

/// Whether the request speaks microversion 2.`minor` or later.
pub fn at(req: &Req, minor: u16) -> bool {
    req.version >= Version(2, minor)
}

/// Where the API lives, for links.
pub fn root(req: &Req) -> String {
    format!("{}/compute/v2.1", req.base)
}

/// `links` of a resource with both its addresses.
pub fn links(base: &str, path: &str) -> [Link; 2] {
    [
        Link { rel: "self", href: format!("{base}/compute/v2.1/{path}") },
        Link { rel: "bookmark", href: format!("{base}/compute/{path}") },
    ]
}

#[derive(serde::Serialize)]
pub struct Link {
    pub rel: &'static str,
    pub href: String,
}

pub fn no_server(id: impl std::fmt::Display) -> Fault {
    Fault::not_found(format!("Instance {id} could not be found."))
}

/// The id of a server in the path.
pub fn server_id(req: &Req) -> Result<ServerId> {
    let text = req.text_param("id");
    text.parse().map_err(|_| no_server(text))
}

/// A server that the caller may see and that is not gone.
///
/// # Errors
/// 404, also for another project's.
pub fn visible(tx: &Tx<'_>, auth: &Auth, id: ServerId) -> Result<Server> {
    let found = server::any(tx, id)?.filter(|s| s.deleted_at.is_none() && auth.sees(s.project_id.as_str()));
    found.ok_or_else(|| no_server(id))
}

/// As [`visible`], of a server that is going to be changed: held, so that what is decided by what it says now
/// is still true when it is written.
///
/// # Errors
/// 404, also for another project's.
pub fn held(tx: &Tx<'_>, auth: &Auth, id: ServerId) -> Result<Server> {
    store::work::hold(tx, &id.to_string())?;
    visible(tx, auth, id)
}

/// A server that the caller may change, held.
///
/// # Errors
/// 404; 409 when it is locked and the caller is no admin.
pub fn changeable(tx: &Tx<'_>, auth: &Auth, id: ServerId) -> Result<Server> {
    let server = held(tx, auth, id)?;
    unlocked(&server, auth)?;
    Ok(server)
}

/// # Errors
/// 409 when it is locked and the caller is no admin.
pub fn unlocked(server: &Server, auth: &Auth) -> Result<()> {
    if server.locked && !auth.is_admin() {
        return Err(Fault::conflict(format!("Instance {} is locked", server.id)));
    }
    Ok(())
}

/// A link to the next page of a list, as `NAME_links` holds it.
pub fn next_links(req: &Req, marker: &str) -> Value {
    json!([{"rel": "next", "href": api::page::next_href(&req.base, req.uri.path(), &req.query, marker)}])
}

/// A number that stands for a host where the API wants one: the same as long as the host lives.
pub fn number(id: HostId) -> u32 {
    let b = id.0.as_bytes();
    u32::from_be_bytes([b[0], b[1], b[2], b[3]]) >> 1
}

/// From 2.75 the query holds nothing but what the API knows.
///
/// # Errors
/// 400 with the name that does not belong.
pub fn only_query(req: &Req, known: &[&str]) -> Result<()> {
    match req.query.0.iter().find(|(k, _)| at(req, 75) && !known.contains(&k.as_str())) {
        None => Ok(()),
        Some((k, _)) => {
            Err(Fault::bad_request(format!("Additional properties are not allowed ('{k}' was unexpected)")))
        }
    }
}
