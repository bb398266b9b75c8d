//! Where routers are at home, in the words of the L3 agent scheduler: an agent hosts the routers that are at
//! home on its host.
//!
//! Two things are kinder than there. A router that is added to another agent moves at once, without having
//! been nowhere in between; and one that is removed from an agent goes to the next host that can take it.

use super::agent;
use super::noun::Noun;
use super::router::Routers;
use super::{bytes, caller};
use crate::act::home;
use crate::{Network, err, table};
use ::api::{Reply, Req};
use base::{HostId, Result, RouterId};
use serde_json::json;
use std::sync::Arc;
use store::{Tx, log, params};

/// The host of an L3 agent.
fn host(tx: &Tx<'_>, id: &str) -> Result<HostId> {
    let hosts = tx.rows("SELECT id FROM host", &[], |r| r.get::<HostId>(0))?;
    hosts.into_iter().find(|h| agent::l3_id(*h) == id).ok_or_else(|| err::no_agent(id.to_owned()))
}

pub async fn routers(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, id) = (caller(&req)?, req.text_param("id").to_owned());
    let body = net.db.read(move |tx| {
        let host = host(tx, &id)?;
        let sql = "SELECT id FROM router WHERE home_host_id = $1";
        let ids: Vec<RouterId> = tx.rows(sql, params![host], |r| r.get(0))?;
        let mut rows = table::router::by_ids(tx, &ids)?;
        rows.sort_by_key(|r| (r.std.created, r.id));
        Ok(serde_json::to_vec(&json!({"routers": Routers::views(tx, &caller, rows)?}))?)
    });
    Ok(bytes(200, body.await?))
}

pub async fn add(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let (caller, who, id) = (caller(&req)?, req.who(), req.text_param("id").to_owned());
    let o = req.json().await?;
    o.only(&["router_id"])?;
    let router: RouterId =
        o.opt_id("router_id")?.ok_or_else(|| err::invalid("The attribute router_id is missing."))?;
    net.db
        .write(move |tx| {
            let host = host(tx, &id)?;
            let router = home::router(tx, &caller, &router.to_string())?;
            home::assign(tx, &router, host)?;
            log::audit(tx, &who, "router.home", &router.id.to_string())
        })
        .await?;
    Ok(Reply::json(201, &serde_json::Value::Null))
}

pub async fn remove(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, who, id) = (caller(&req)?, req.who(), req.text_param("id").to_owned());
    let router = req.text_param("router").to_owned();
    net.db
        .write(move |tx| {
            let host = host(tx, &id)?;
            let router = home::router(tx, &caller, &router)?;
            home::leave_one(tx, &router, host, agent::SILENCE)?;
            log::audit(tx, &who, "router.home", &router.id.to_string())
        })
        .await?;
    Ok(Reply::empty(204))
}

pub async fn agents(net: Arc<Network>, req: Req) -> Result<Reply> {
    let (caller, id) = (caller(&req)?, req.text_param("id").to_owned());
    let agents = net.db.read(move |tx| {
        let router = home::router(tx, &caller, &id)?;
        let home = router.home.map(agent::l3_id);
        let all = agent::all(tx)?;
        Ok(all.into_iter().filter(|a| home.as_deref().is_some_and(|h| a["id"] == h)).collect::<Vec<_>>())
    });
    Ok(Reply::json(200, &json!({"agents": agents.await?})))
}
