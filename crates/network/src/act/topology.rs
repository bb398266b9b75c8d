//! The topology that a project gets by itself: a network with a subnet of each default pool, behind a
//! router to the default external network.
//!
//! Invariant: a project has one at most; its row of `auto_topology` is written first of all, so that two
//! who want it at once make it once.

use super::pool::Want;
use super::router::Outside;
use super::subnet::{Cidr, Gateway};
use super::{Caller, network, rbac, router, subnet};
use crate::model::{Network, SubnetPool};
use crate::{err, table};
use base::{Fault, NetworkId, ProjectId, Result, RouterId};
use ipnet::IpNet;
use store::{Tx, params};

/// What a topology is made of.
struct Parts {
    outside: NetworkId,
    pools: Vec<SubnetPool>,
}

fn failure(why: &str) -> Fault {
    err::conflict("AutoAllocationFailure", format!("Deployment error: {why}."))
}

/// The default external network and the default pools that a project may use.
fn parts(tx: &Tx<'_>, caller: &Caller) -> Result<Parts> {
    let sql = "SELECT id FROM network WHERE is_default = 1 AND external = 1";
    let outside = match tx.opt(sql, &[], |r| r.get(0))? {
        Some(id) if network::visible(tx, caller, id).is_ok() => id,
        _ => return Err(failure("No default router:external network")),
    };
    let mut pools = Vec::new();
    for v6 in [false, true] {
        if let Some(p) = table::pool::default_of(tx, v6)?
            && rbac::uses(tx, caller, &p.id.to_string(), &p.std.project)?
        {
            pools.push(p);
        }
    }
    if pools.is_empty() {
        return Err(failure("No default subnetpools defined"));
    }
    Ok(Parts { outside, pools })
}

fn of(project: &ProjectId) -> Caller {
    Caller { project: project.clone(), admin: false }
}

/// Whether a topology could be made for a project.
pub fn check(tx: &Tx<'_>, project: &ProjectId) -> Result<()> {
    parts(tx, &of(project)).map(drop)
}

/// The network of a project's topology, if there is one.
pub fn find(tx: &Tx<'_>, project: &ProjectId) -> Result<Option<NetworkId>> {
    let sql = "SELECT network_id FROM auto_topology WHERE project_id = $1 AND network_id IS NOT NULL";
    tx.opt(sql, params![project], |r| r.get(0))
}

/// The network of a project's topology, which is made if need be.
pub fn ensure(tx: &Tx<'_>, project: &ProjectId) -> Result<NetworkId> {
    let caller = of(project);
    let added = tx.exec(
        "INSERT INTO auto_topology (project_id) VALUES ($1) ON CONFLICT DO NOTHING",
        params![project],
    )?;
    if added == 0 {
        return find(tx, project)?.ok_or_else(|| failure("The topology is being deleted; try again"));
    }
    let parts = parts(tx, &caller)?;
    let n = network::create(tx, network::New::plain(project, "auto_allocated_network"))?;
    let mut r = router::create(tx, project, "auto_allocated_router", "", true)?;
    router::set_gateway(
        tx,
        &caller,
        &mut r,
        &Outside { network: parts.outside, enable_snat: None, fixed: None, qos: None },
    )?;
    table::router::update(tx, &r)?;
    for p in &parts.pools {
        let s = subnet::create(tx, &caller, subnet_of(&n, p))?;
        router::add_subnet(tx, &caller, &r, s.id)?;
    }
    let sql = "UPDATE auto_topology SET network_id = $2, router_id = $3 WHERE project_id = $1";
    tx.exec(sql, params![project, n.id, r.id])?;
    Ok(n.id)
}

fn subnet_of(n: &Network, p: &SubnetPool) -> subnet::New {
    let (name, any) = if p.v6 {
        ("auto_allocated_subnet_v6", [0; 16].into())
    } else {
        ("auto_allocated_subnet_v4", [0; 4].into())
    };
    // Guests make themselves addresses where the prefix is as long as that takes (RFC 4862).
    let mode = (p.v6 && p.default_len == 64).then(|| "slaac".to_owned());
    subnet::New {
        cidr: Cidr::FromPool(Want { pool: Some(p.id), v6: p.v6, cidr: None, len: None }),
        gateway: Gateway::Default,
        ra_mode: mode.clone(),
        address_mode: mode,
        ..subnet::New::plain(n, name, IpNet::new_assert(any, 0))
    }
}

/// Takes a project's topology away. What is in use keeps it as it is (409); none is no error.
pub fn delete(tx: &Tx<'_>, project: &ProjectId) -> Result<()> {
    let sql =
        "SELECT network_id, router_id FROM auto_topology WHERE project_id = $1 AND network_id IS NOT NULL";
    let found =
        tx.opt(sql, params![project], |r| Ok((r.get::<NetworkId>(0)?, r.get::<Option<RouterId>>(1)?)))?;
    let Some((network, router)) = found else { return Ok(()) };
    super::hold(tx, project, &["network", "router", "subnet", "port"])?;
    if let Some(r) = router.map_or(Ok(None), |id| table::router::by_id(tx, id))? {
        table::hold(tx, "router", &r.id.to_string())?;
        let legs = table::router::interfaces(tx, r.id)?;
        for p in legs {
            if let Some(p) = table::port::by_id(tx, p)? {
                router::remove_interface(tx, &r, &p, None)?;
            }
        }
        router::delete(tx, r)?;
    }
    if let Some(n) = table::network::by_id(tx, network)? {
        table::hold(tx, "network", &n.id.to_string())?;
        network::delete(tx, &n)?;
    }
    Ok(())
}
