//! What a new cloud finds: an external network, a private one of the demo project, a router between.

use crate::act::{self, Caller, router::Outside};
use crate::table;
use base::doc::Uplink;
use base::{Fault, ProjectId, Result};
use ipnet::IpNet;
use std::net::{Ipv4Addr, Ipv6Addr};
use store::{Tx, params};

/// Makes the first networks, once. `nat` is the host's own address on the external network with its
/// prefix length, such as 172.24.4.1/24. Doing it again changes nothing, also where people have deleted
/// or renamed what was made.
pub fn first_start(tx: &Tx<'_>, admin: &ProjectId, demo: &ProjectId, nat: IpNet) -> Result<()> {
    first_pools(tx, admin)?;
    if !once(tx, "network-first-start")? {
        return Ok(());
    }
    let (by_admin, by_demo) = (caller(admin, true), caller(demo, false));
    act::group::default_of(tx, admin)?;
    act::group::default_of(tx, demo)?;
    let public = act::network::New {
        external: true,
        is_default: true,
        uplink: Some(Uplink::HostNat { addresses: vec![nat] }),
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
    let way = Outside { network: public.id, enable_snat: None, fixed: None, qos: None };
    act::router::set_gateway(tx, &by_demo, &mut router, &way)?;
    table::router::update(tx, &router)?;
    act::router::add_subnet(tx, &by_demo, &router, inside.id)?;
    Ok(())
}

/// What this cloud's hosts themselves give floating IPs from: the IPv4 subnets of external networks that hang on no wire.
pub fn floating_ranges(tx: &Tx<'_>) -> Result<Vec<IpNet>> {
    let sql = format!(
        "SELECT {} FROM network t WHERE t.external = 1 AND t.vlan_segment IS NULL ORDER BY t.created_at, t.id",
        table::network::COLS
    );
    let mut outside = tx.rows(&sql, &[], table::network::read)?;
    outside.retain(|n| matches!(n.uplink, None | Some(Uplink::HostNat { .. })));
    let ids: Vec<_> = outside.iter().map(|n| n.id).collect();
    let subnets = table::subnet::of_networks(tx, &ids)?;
    Ok(subnets.into_iter().map(|s| s.cidr).filter(|cidr| cidr.addr().is_ipv4()).collect())
}

/// True the first time.
fn once(tx: &Tx<'_>, mark: &str) -> Result<bool> {
    let sql = "INSERT INTO setting (name, value) VALUES ($1, 'done') ON CONFLICT (name) DO NOTHING";
    Ok(tx.exec(sql, params![mark])? == 1)
}

/// The default pools, from which projects get networks by themselves: half of 10.0.0.0/8, and a prefix
/// of unique local addresses with random digits (RFC 4193, 3.2).
fn first_pools(tx: &Tx<'_>, admin: &ProjectId) -> Result<()> {
    if !once(tx, "network-first-pools")? {
        return Ok(());
    }
    let [a, b, c, d, e]: [u8; 5] = rand::random();
    let unique = Ipv6Addr::from([0xfd, a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let pools: [(&str, IpNet, u8, u8); 2] = [
        ("default-v4", IpNet::new_assert(Ipv4Addr::new(10, 128, 0, 0).into(), 9), 16, 24),
        ("default-v6", IpNet::new_assert(unique.into(), 48), 56, 64),
    ];
    for (name, prefix, least, usual) in pools {
        if table::pool::default_of(tx, prefix.addr().is_ipv6())?.is_some() {
            continue;
        }
        let new = act::pool::New {
            project: admin.clone(),
            name: name.into(),
            description: "Networks that projects get by themselves".into(),
            prefixes: vec![prefix],
            default_len: Some(usual),
            min_len: Some(least),
            max_len: None,
            quota: None,
            scope: None,
            is_default: true,
            shared: true,
        };
        act::pool::create(tx, &caller(admin, true), new)?;
    }
    Ok(())
}

fn caller(project: &ProjectId, admin: bool) -> Caller {
    Caller { project: project.clone(), admin }
}
