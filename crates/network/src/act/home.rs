//! Where routers are at home: the one host that has a router's gateway, translates and answers for its
//! floating addresses.
//!
//! ```text
//! gateway set ──▶ home: a host that reaches the external network, the least loaded
//! home silent ──▶ the next such host that is not; nothing moves back by itself
//! ```
//! A provider network is reached by the hosts that have its physical network, and routers spread over them.
//! An external network that is the host's own address translation lives where its addresses are: on one host
//! at a time, for all of its routers, which therefore move together.

use super::Caller;
use crate::model::{Network, Port, Router, json};
use crate::{err, links, table, touch, transit};
use base::{Fault, HostId, Micros, NetworkId, Result, RouterId};
use std::time::Duration;
use store::log::{Level, event};
use store::{Db, Sql, Tx, params};

/// How long an answer waits at most for a router's home; after how long it is looked at, at first and later on.
const HEARD: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
const LOOK_LATER: Duration = Duration::from_millis(200);

/// The host that is to be home to a router with its gateway on `network`: enabled, in one of `zones` if there
/// are any, heard of since `alive` if that is given, and not `but`.
pub fn choose(
    tx: &Tx<'_>,
    network: &Network,
    zones: &[String],
    alive: Option<Micros>,
    but: Option<HostId>,
) -> Result<Option<HostId>> {
    let mut q = Sql::new("SELECT h.id FROM host h LEFT JOIN router r ON r.home_host_id = h.id");
    let wired = network.physical().is_some();
    if !wired {
        q.push(" LEFT JOIN port g ON g.id = r.gateway_port_id AND g.network_id = ");
        q.bind(network.id);
    }
    q.push(" WHERE h.enabled = 1 AND h.forced_down = 0 AND h.resource_class = ''");
    if let Some(since) = alive {
        q.and("h.seen_at >=", since);
    }
    if let Some(but) = but {
        q.and("h.id <>", but);
    }
    if !zones.is_empty() {
        q.and_in("h.availability_zone", zones);
    }
    for need in links::needs(tx, network)? {
        q.push(" AND h.id IN (").add(&need.hosts).push(")");
    }
    q.push(if wired {
        " GROUP BY h.id, h.name ORDER BY COUNT(r.id), h.name LIMIT 1"
    } else {
        " GROUP BY h.id, h.created_at, h.name ORDER BY COUNT(g.id) DESC, h.created_at, h.name LIMIT 1"
    });
    q.opt(tx, |r| r.get(0))
}

struct Homeless {
    router: RouterId,
    zones: Vec<String>,
    old: Option<HostId>,
    network: NetworkId,
}

/// Routers with a gateway and no home; with `silent`, also those whose home has not been heard of since, or is
/// said to be down.
fn homeless(tx: &Tx<'_>, silent: Option<Micros>) -> Result<Vec<Homeless>> {
    let mut q = Sql::new(
        "SELECT r.id, r.az_hints, r.home_host_id, g.network_id FROM router r
         JOIN port g ON g.id = r.gateway_port_id LEFT JOIN host h ON h.id = r.home_host_id
         WHERE (r.home_host_id IS NULL",
    );
    if let Some(since) = silent {
        q.push(" OR h.forced_down = 1 OR h.seen_at < ");
        q.bind(since);
    }
    q.push(") ORDER BY r.created_at, r.id");
    q.rows(tx, |r| Ok(Homeless { router: r.get(0)?, zones: json(r, 1)?, old: r.get(2)?, network: r.get(3)? }))
}

fn give(tx: &Tx<'_>, of: &Homeless, alive: Option<Micros>) -> Result<Option<HostId>> {
    let Some(network) = table::network::by_id(tx, of.network)? else { return Ok(None) };
    let Some(host) = choose(tx, &network, &of.zones, alive, of.old)? else { return Ok(None) };
    move_to(tx, of.router, of.old, host)?;
    Ok(Some(host))
}

fn move_to(tx: &Tx<'_>, router: RouterId, old: Option<HostId>, new: HostId) -> Result<()> {
    tx.exec("UPDATE router SET home_host_id = $2 WHERE id = $1", params![router, new])?;
    transit::provide(tx, router)?;
    // The new home holds the router's networks from now on, whether it has guests on them or not; the old
    // one, should it come back, must learn that it has the gateway no more.
    store::host::touch_all(tx, old)?;
    touch::router(tx, router)
}

/// Gives a home to routers that have a gateway and none, because there was no host yet; and a transit to those
/// that an older release made without.
pub fn settle(tx: &Tx<'_>) -> Result<()> {
    let bare = "SELECT id FROM router WHERE gateway_port_id IS NOT NULL AND transit_vni IS NULL ORDER BY id";
    for id in tx.rows(bare, &[], |r| r.get::<RouterId>(0))? {
        transit::provide(tx, id)?;
        touch::router(tx, id)?;
    }
    homeless(tx, None)?.iter().try_for_each(|one| give(tx, one, None).map(drop))
}

/// Waits until the homes of these routers have done what their documents ask for by now, so that whoever calls an address
/// right after the answer is led where it leads now. For [`HEARD`] at most: a home that is busy does it later. One that
/// has been silent for as long as `silence`, or has never done anything, is not waited for.
pub async fn heard(db: &Db, routers: Vec<RouterId>, silence: Duration) {
    if routers.is_empty() {
        return;
    }
    let all = async {
        let asked = db.read(move |tx| asked_for(tx, routers, silence)).await.unwrap_or_default();
        for (host, generation) in asked {
            let is_late = move |tx: &Tx<'_>| {
                let sql = "SELECT id FROM host WHERE id = $1 AND applied < $2";
                tx.opt(sql, params![host, generation], |r| r.get::<HostId>(0))
            };
            let mut look = LOOK;
            while matches!(db.read(is_late).await, Ok(Some(_))) {
                tokio::time::sleep(look).await;
                look = (look * 2).min(LOOK_LATER);
            }
        }
    };
    // What took too long is not an error: the change is written.
    let _ = tokio::time::timeout(HEARD, all).await;
}

/// Homes that can be waited for, and the generations of their documents.
pub fn asked_for(tx: &Tx<'_>, routers: Vec<RouterId>, silence: Duration) -> Result<Vec<(HostId, i64)>> {
    let mut q = Sql::new(
        "SELECT DISTINCT h.id, h.generation FROM router r JOIN host h ON h.id = r.home_host_id
         WHERE h.applied > 0 AND h.forced_down = 0 AND h.seen_at >= ",
    );
    table::fill(q.bind(since(silence)).push(" AND r.id IN ("), routers);
    q.push(")").rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))
}

/// Whether [`fail_over`] would look for a home.
pub fn is_any_lost(tx: &Tx<'_>, silence: Duration) -> Result<bool> {
    Ok(!homeless(tx, Some(since(silence)))?.is_empty())
}

/// Moves routers away from homes that were silent for so long, to hosts that were not. Answers how many moved.
pub fn fail_over(tx: &Tx<'_>, silence: Duration) -> Result<usize> {
    let since = since(silence);
    let mut moved = 0;
    for one in homeless(tx, Some(since))? {
        let Some(new) = give(tx, &one, Some(since))? else { continue };
        moved += 1;
        let text = match one.old {
            Some(old) => format!(
                "Its home, host {}, is silent. Host {} translates and answers for its floating addresses now.",
                name(tx, old)?,
                name(tx, new)?
            ),
            None => format!("Host {} is its home now.", name(tx, new)?),
        };
        event(tx, Level::Warning, "router.moved", &one.router.to_string(), &text)?;
    }
    Ok(moved)
}

fn since(silence: Duration) -> Micros {
    Micros(Micros::now().0 - i64::try_from(silence.as_micros()).unwrap_or(i64::MAX))
}

fn name(tx: &Tx<'_>, host: HostId) -> Result<String> {
    let sql = "SELECT name FROM host WHERE id = $1";
    Ok(tx.opt(sql, params![host], |r| r.get(0))?.unwrap_or_else(|| host.to_string()))
}

/// Moves a router's home to a host that an administrator names.
///
/// # Errors
/// 409 when the host does not reach the external network.
pub fn assign(tx: &Tx<'_>, router: &Router, host: HostId) -> Result<()> {
    let gateway = gateway(tx, router)?;
    let network =
        table::network::by_id(tx, gateway.network)?.ok_or_else(|| err::no_network(gateway.network))?;
    if let Some(need) = links::lack(tx, &network, host)? {
        return Err(err::conflict(
            "InvalidL3Agent",
            format!(
                "Host {} cannot be home to the router: it lacks what its gateway asks for, {}.",
                name(tx, host)?,
                need.what
            ),
        ));
    }
    if router.home == Some(host) {
        return Ok(());
    }
    move_to(tx, router.id, router.home, host)
}

fn gateway(tx: &Tx<'_>, router: &Router) -> Result<Port> {
    let port = router.gateway_port.map(|id| table::port::by_id(tx, id)).transpose()?.flatten();
    port.ok_or_else(|| {
        err::conflict(
            "RouterHasNoGateway",
            format!(
                "Router {} has no external gateway, so it is on every host of its networks alike.",
                router.id
            ),
        )
    })
}

/// Moves all homes from a host that is to be emptied to others, as far as there are any. Answers how many stay.
pub fn leave(tx: &Tx<'_>, host: HostId, silence: Duration) -> Result<usize> {
    let sql = "SELECT r.id, r.az_hints, g.network_id FROM router r JOIN port g ON g.id = r.gateway_port_id
               WHERE r.home_host_id = $1 ORDER BY r.created_at, r.id";
    let here = tx.rows(sql, params![host], |r| {
        Ok(Homeless { router: r.get(0)?, zones: json(r, 1)?, old: Some(host), network: r.get(2)? })
    })?;
    let mut stay = 0;
    for one in &here {
        if give(tx, one, Some(since(silence)))?.is_none() {
            stay += 1;
        }
    }
    Ok(stay)
}

/// Moves one router's home from a host to another.
///
/// # Errors
/// 409 when it is not at home there, or no other host reaches its external network.
pub fn leave_one(tx: &Tx<'_>, router: &Router, host: HostId, silence: Duration) -> Result<()> {
    let network = gateway(tx, router)?.network;
    if router.home != Some(host) {
        let text =
            format!("The router {} is not hosted by the L3 agent on host {}.", router.id, name(tx, host)?);
        return Err(err::conflict("RouterNotHostedByL3Agent", text));
    }
    let one = Homeless { router: router.id, zones: router.az_hints.clone(), old: Some(host), network };
    match give(tx, &one, Some(since(silence)))? {
        Some(_) => Ok(()),
        None => Err(err::conflict(
            "RouterReschedulingFailed",
            format!("Failed rescheduling router {}: no eligible L3 agent found.", router.id),
        )),
    }
}

/// A router that the caller, an administrator, names.
pub fn router(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Router> {
    let id: RouterId = id.parse().map_err(|_| Fault::not_found(format!("Router {id} could not be found")))?;
    super::router::visible(tx, caller, id)
}
