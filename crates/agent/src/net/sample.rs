//! Documents that the tests of this module start from.

use base::doc::*;
use base::{HostId, NetworkId, PortId, ServerId, SubnetId};
use std::collections::BTreeMap;
use uuid::Uuid;

pub const HOST: HostId = HostId(Uuid::from_u128(0xf00));

pub fn subnet(n: u128, cidr: &str, gateway: Option<&str>) -> Subnet {
    Subnet {
        id: SubnetId(Uuid::from_u128(n)),
        cidr: cidr.parse().unwrap(),
        gateway: gateway.map(|g| g.parse().unwrap()),
        dhcp: true,
        dns: vec![],
        routes: vec![],
        ipv6: None,
    }
}

/// Port number `n` of this host's guest number `n`, with the MAC `fa:16:3e:00:00:<n>`.
pub fn port(n: u8, addresses: &[(u128, &str)]) -> Port {
    Port {
        id: PortId(Uuid::from_u128((0xb0_0000_0000 | u128::from(n)) << 88)),
        mac: format!("fa:16:3e:00:00:{n:02x}"),
        addresses: addresses
            .iter()
            .map(|(s, a)| PortAddress { subnet: SubnetId(Uuid::from_u128(*s)), address: a.parse().unwrap() })
            .collect(),
        owner: PortOwner::Guest(ServerId(Uuid::from_u128(0x1000 + u128::from(n)))),
        host: Some(HOST),
        tunnel: None,
        admin_up: true,
        security: true,
        groups: vec![],
        allowed_pairs: vec![],
        hostname: format!("vm{n}"),
        dhcp_options: vec![],
        qos: None,
    }
}

pub fn network(n: u128, subnets: Vec<Subnet>, ports: Vec<Port>) -> Network {
    let id = NetworkId(Uuid::from_u128(n));
    Network {
        id,
        vni: 4000 + n as u32,
        mtu: 1450,
        subnets,
        ports,
        uplink: None,
        vlan: None,
        peers: vec![],
        acl: vec![],
    }
}

pub fn guest(port: &Port, network: &Network) -> Guest {
    let PortOwner::Guest(id) = port.owner else { panic!("not a guest's port") };
    Guest {
        id,
        ownership: 1,
        power: Power::On,
        boots: 0,
        boot_kind: BootKind::Soft,
        vcpus: 1,
        memory_mib: 64,
        nics: vec![Nic {
            port: port.id,
            network: network.id,
            mac: port.mac.clone(),
            mtu: network.mtu,
            tag: None,
        }],
        config_drive: false,
        hardware: Hardware::default(),
        limits: Limits::default(),
        local_disks: vec![],
        captures: vec![],
        arrival: None,
        departure: None,
        cpu: String::new(),
        ha: false,
        disk: RootDisk { bytes: 1 << 20, ..RootDisk::default() },
        paused: false,
        suspended: false,
        rescue: None,
        password: None,
        nmi: 0,
        metadata: Metadata {
            name: port.hostname.clone(),
            hostname: port.hostname.clone(),
            project_id: "p".into(),
            availability_zone: "nova".into(),
            flavor: "m1.tiny".into(),
            keys: vec![SshKey { name: "me".into(), public_key: "ssh-ed25519 AAAA me".into(), x509: false }],
            meta: BTreeMap::from([("role".into(), "web".into())]),
            user_data: Some("IyEvYmluL3NoCg==".into()),
            ..Metadata::default()
        },
    }
}

pub fn document(networks: Vec<Network>, guests: Vec<Guest>) -> Desired {
    let (groups, routers) = (vec![], vec![]);
    Desired { version: VERSION, host: HOST, generation: 1, guests, networks, groups, routers, fence_s: None }
}
