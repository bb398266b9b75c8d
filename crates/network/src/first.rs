//! What a new cloud finds: an external network, a private one of the demo project, a router between.

use crate::act::{self, Caller, router::Outside};
use crate::table;
use base::{Fault, ProjectId, Result};
use ipnet::IpNet;
use store::Tx;

/// Makes the first networks, once. `nat` is the host's own address on the external network with its
/// prefix length, such as 172.24.4.1/24. Doing it again changes nothing, also where people have deleted
/// or renamed what was made.
pub fn first_start(tx: &Tx<'_>, admin: &ProjectId, demo: &ProjectId, nat: IpNet) -> Result<()> {
    let mark = "INSERT INTO setting (name, value) VALUES ('network-first-start', 'done') ON CONFLICT (name) DO NOTHING";
    if tx.exec(mark, &[])? == 0 {
        return Ok(());
    }
    let (by_admin, by_demo) = (caller(admin, true), caller(demo, false));
    act::group::default_of(tx, admin)?;
    act::group::default_of(tx, demo)?;
    let public = act::network::New {
        external: true,
        is_default: true,
        uplink: Some(base::doc::Uplink::HostNat { addresses: vec![nat] }),
        description: "The way out, through the host's own address".into(),
        ..act::network::New::plain(admin, "public")
    };
    let public = act::network::create(tx, public)?;
    let mut outside = act::subnet::New::plain(&public, "public-subnet", nat.trunc());
    outside.gateway = act::subnet::Gateway::At(nat.addr());
    outside.dhcp = false;
    act::subnet::create(tx, &by_admin, outside)?;
    let private = act::network::create(tx, act::network::New::plain(demo, "private"))?;
    let cidr: IpNet = "10.20.30.0/24".parse().map_err(Fault::internal)?;
    let inside = act::subnet::New::plain(&private, "private-subnet", cidr);
    let inside = act::subnet::create(tx, &by_demo, inside)?;
    let mut router = act::router::create(tx, demo, "router1", "", true)?;
    let way = Outside { network: public.id, enable_snat: None, fixed: None };
    act::router::set_gateway(tx, &by_demo, &mut router, &way)?;
    table::router::update(tx, &router)?;
    act::router::add_subnet(tx, &by_demo, &router, inside.id)?;
    Ok(())
}

fn caller(project: &ProjectId, admin: bool) -> Caller {
    Caller { project: project.clone(), admin }
}
