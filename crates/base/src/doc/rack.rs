//! The two documents that region and rack controller exchange, and the few questions between them.
//!
//! A rack controller answers DHCP, TFTP, HTTP boot and DNS on the layer-2 segments that it is plugged to, holds
//! image content near the machines, and switches their power. It is told what should be, as hosts are:
//!
//! ```text
//! GET  /rack/v1/desired?since=G&wait=30  200 RackDesired with generation > G, or 204 after `wait` seconds
//! PUT  /rack/v1/observed                 204; 409 when `applied` is older than one already reported
//! POST /rack/v1/boot                     200 BootAnswer: what a machine that asks right now should boot
//! GET  /rack/v1/images/{sha512}          200 the image's bytes, as the image service stores them; Range is obeyed
//! POST /rack/v1/join                     200 RackJoined; as hosts do, with `Authorization: Join <secret>` and a Join
//! POST /rack/v1/renew                    200 Certificate; as hosts do
//! GET  /rack/v1/consoles/{key}           101 WebSocket: a machine's serial console; see [`ConsoleAsked`]
//! ```
//! The rack proves itself with its certificate, or with `Authorization: Bearer <rack token>`. What live systems
//! and deployed machines ask under `/live/v1` and `/MAAS` the rack ([`HTTP_PORT`]) passes on unread to the region,
//! with the asker's own `Authorization`; so there its own token is in [`RACK_TOKEN`], beside [`ASKER_ADDRESS`] and
//! [`ASKER_MAC`]. The region believes these headers only with a rack's proof; the rack drops those that it is sent.
//! While the region is away the rack answers boots from its document: machines that are known go on,
//! strangers are asked to try again.

use super::Certificate;
use crate::{MachineId, Micros, RackId, SegmentId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Port of the rack's HTTP server on its segments: boot files, image content, and the way to the region.
pub const HTTP_PORT: u16 = 5248;
/// Header of passed-on requests: the rack's token, where it has no certificate.
pub const RACK_TOKEN: &str = "x-hanok-rack-token";
/// Header of passed-on requests: the address on the segment that asks.
pub const ASKER_ADDRESS: &str = "x-hanok-asker-address";
/// Header of passed-on requests: the MAC that the rack has leased that address to, or that answers ARP for it;
/// absent when the rack cannot tell.
pub const ASKER_MAC: &str = "x-hanok-asker-mac";

/// Answer to a rack that joins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RackJoined {
    pub rack: RackId,
    pub name: String,
    /// Where the region speaks TLS.
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

/// Everything that one rack controller should do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RackDesired {
    pub version: u32,
    pub rack: RackId,
    /// Grows with every change of the document. A rack refuses one that is older than what it holds.
    pub generation: u64,
    #[serde(default)]
    pub segments: Vec<Segment>,
    #[serde(default)]
    pub machines: Vec<RackMachine>,
    /// Image content to be held near the machines.
    #[serde(default)]
    pub images: Vec<RackImage>,
    /// What machines boot that are not to start from their disk. Absent: none has been made yet.
    #[serde(default)]
    pub live: Option<LiveSystem>,
    /// The DNS domain of machines, without a dot at the end.
    #[serde(default)]
    pub domain: String,
    /// Asked for names outside that domain.
    #[serde(default)]
    pub upstream_dns: Vec<IpAddr>,
    /// Addresses that are kept for network cards of no machine: leased to these MACs and to nobody else.
    #[serde(default)]
    pub fixed: Vec<RackNic>,
    /// Further domains that the rack answers for, without a dot at the end.
    #[serde(default)]
    pub zones: Vec<String>,
    /// Names beside those of machines.
    #[serde(default)]
    pub records: Vec<DnsRecord>,
    /// Serial consoles that somebody waits for.
    #[serde(default)]
    pub consoles: Vec<ConsoleAsked>,
}

/// A serial console that the rack is to bring to the region: a WebSocket at `/rack/v1/consoles/{key}`, characters as
/// binary messages both ways, words for who looks as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleAsked {
    pub machine: MachineId,
    pub key: String,
}

/// A resource record that the rack answers (RFC 1035, 3.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// Whole, without a dot at the end.
    pub name: String,
    /// `A`, `AAAA`, `CNAME`, `MX`, `NS`, `SRV`, `SSHFP`, `TXT`.
    pub kind: String,
    /// As in a zone file: `10 mail.example.com`.
    pub data: String,
    /// Seconds; absent: the rack's own.
    #[serde(default)]
    pub ttl: Option<u32>,
}

/// A layer-2 network of metal that this rack is plugged to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub id: SegmentId,
    pub name: String,
    /// The rack's network interface on it.
    pub interface: String,
    pub dhcp: DhcpMode,
    /// Whether machines that nobody knows are shown the live system, so that they are found.
    #[serde(default)]
    pub enlist: bool,
    #[serde(default)]
    pub subnets: Vec<RackSubnet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DhcpMode {
    Off,
    /// Addresses and boot answers.
    Serve,
    /// Boot answers only, beside somebody else's DHCP server (PXE specification 2.1, proxyDHCP).
    Proxy,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackSubnet {
    pub cidr: IpNet,
    /// The rack's own address on it.
    pub address: IpAddr,
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Empty: the rack itself.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    #[serde(default)]
    pub ntp: Vec<IpAddr>,
    /// First and last address of what may be leased to machines without an address of their own.
    #[serde(default)]
    pub ranges: Vec<(IpAddr, IpAddr)>,
    /// Bytes; 0 is 1500.
    #[serde(default)]
    pub mtu: u32,
    /// DHCP relays through which it is reached (giaddr). Empty: it is on the segment itself.
    #[serde(default)]
    pub relays: Vec<IpAddr>,
}

/// A machine as its rack knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RackMachine {
    pub id: MachineId,
    /// Host name, without the domain.
    pub name: String,
    #[serde(default)]
    pub nics: Vec<RackNic>,
    /// SMBIOS UUID in lower case, empty when not known.
    #[serde(default)]
    pub uuid: String,
    pub boot: Boot,
    #[serde(default)]
    pub bmc: Option<Bmc>,
    #[serde(default)]
    pub power: PowerOrder,
    /// It is a host of this cloud, or becomes one: it may reach the region and other hosts.
    #[serde(default)]
    pub host: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackNic {
    /// Lower case, with colons.
    pub mac: String,
    /// Leased to this MAC and to nobody else; none: one of a range.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// What a machine that boots from the network gets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Boot {
    /// The live system, with this secret on its kernel command line: good once, for this machine's MACs only.
    Live { token: String },
    /// Its own disk.
    Local,
    /// Nothing: it should be off.
    Off,
}

impl std::fmt::Debug for Boot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Boot::Live { .. } => "Live",
            Boot::Local => "Local",
            Boot::Off => "Off",
        })
    }
}

/// How power should be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerOrder {
    /// Absent: as it is.
    pub want: Option<bool>,
    /// Counts the restarts asked for. A rack that has carried out fewer restarts the machine once.
    pub cycles: u64,
    /// Off by taking the current away; else the machine is asked to shut down first.
    pub hard: bool,
    /// Where the firmware should look first at the next start.
    pub boot_from: BootFrom,
    /// Whether its firmware is UEFI (BMCs want to be told with `boot_from`); absent: not known.
    pub efi: Option<bool>,
    /// Restarts that the region knows to be carried out. A rack that has none on record counts from here, so
    /// that a new rack does not restart what another one has restarted; with [`Bmc::Manual`] a person says it.
    pub cycled: u64,
    /// What a person said of it who looked, or its own system when it went down: all that is known of machines
    /// whose power nothing can read ([`Bmc::Manual`], [`Bmc::WakeOnLan`]).
    pub said: Option<PowerSaid>,
}

/// Somebody's word that a machine is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerSaid {
    pub on: bool,
    /// Tells a word said again from one that is old.
    pub at: Micros,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootFrom {
    /// As the firmware is set.
    #[default]
    Unset,
    Network,
    Disk,
}

/// How a machine's power is switched.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Bmc {
    /// IPMI 2.0 over RMCP+ (lanplus).
    Ipmi {
        address: String,
        /// 0 is 623.
        #[serde(default)]
        port: u16,
        user: String,
        password: String,
        /// Cipher suite; absent: the best that both sides know.
        #[serde(default)]
        cipher: Option<u8>,
    },
    /// DMTF Redfish.
    Redfish {
        /// Of the service's root, such as `https://10.0.0.9`.
        url: String,
        user: String,
        password: String,
        /// Id or path of the system; empty: the only one.
        #[serde(default)]
        system: String,
        /// SHA-256 of the BMC's certificate in hexadecimal; empty: any is taken.
        #[serde(default)]
        fingerprint: String,
    },
    /// Magic packet; switching off is asked of whatever runs on the machine.
    WakeOnLan { mac: String },
    /// Somebody else's HTTP service.
    Webhook {
        on_url: String,
        off_url: String,
        query_url: String,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// What the query's body holds when the machine is on or off (regular expressions).
        #[serde(default)]
        on_pattern: String,
        #[serde(default)]
        off_pattern: String,
    },
    /// A person is asked and says when it is done.
    Manual,
}

impl Bmc {
    /// Its name as the APIs show it.
    pub fn kind(&self) -> &'static str {
        match self {
            Bmc::Ipmi { .. } => "ipmi",
            Bmc::Redfish { .. } => "redfish",
            Bmc::WakeOnLan { .. } => "wake_on_lan",
            Bmc::Webhook { .. } => "webhook",
            Bmc::Manual => "manual",
        }
    }
}

impl std::fmt::Debug for Bmc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

/// Image content that machines will be written with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackImage {
    /// Of the stored bytes, lower-case hexadecimal.
    pub sha512: String,
    /// `raw`, `qcow2`, … as the image service knows it.
    pub format: String,
    pub size: u64,
}

/// Files of the live system, by content: the rack asks `GET /rack/v1/images/{sha512}` for those that it lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSystem {
    pub kernel: String,
    pub initrd: String,
    /// Kernel and initrd as one EFI program.
    pub efi: String,
    /// Goes before what the rack adds (`hanok.token=`, `hanok.url=`, `BOOTIF=`).
    #[serde(default)]
    pub cmdline: String,
}

// ------------------------------------------------------------------------------------ what is

/// What a rack controller sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RackObserved {
    pub version: u32,
    pub rack: RackId,
    /// Generation of the document that was applied last.
    pub applied: u64,
    #[serde(default)]
    pub agent_version: String,
    #[serde(default)]
    pub interfaces: Vec<RackInterface>,
    #[serde(default)]
    pub segments: Vec<SegmentStatus>,
    #[serde(default)]
    pub machines: Vec<RackMachineStatus>,
    #[serde(default)]
    pub images: Vec<RackImageStatus>,
    #[serde(default)]
    pub leases: Vec<Lease>,
    /// Who asked to boot and is no machine of the document.
    #[serde(default)]
    pub strangers: Vec<Stranger>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackInterface {
    pub name: String,
    pub mac: String,
    pub up: bool,
    #[serde(default)]
    pub addresses: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentStatus {
    pub id: SegmentId,
    /// Addresses that can still be leased.
    pub free: u64,
    /// Other DHCP servers that answer there.
    #[serde(default)]
    pub foreign_dhcp: Vec<IpAddr>,
    /// Why something does not work; empty: all does.
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackMachineStatus {
    pub id: MachineId,
    /// Absent: not known, or cannot be told (`reason` says why).
    #[serde(default)]
    pub power: Option<bool>,
    /// Restarts carried out.
    #[serde(default)]
    pub cycles: u64,
    /// Of power: what is being done or what went wrong. A person who should act reads it.
    #[serde(default)]
    pub reason: String,
    /// Power was read at.
    #[serde(default)]
    pub read_at: Option<Micros>,
    /// It last asked to boot from the network at.
    #[serde(default)]
    pub boot_at: Option<Micros>,
    /// And got: `live`, `local`, `off`.
    #[serde(default)]
    pub boot_answer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackImageStatus {
    pub sha512: String,
    pub ready: bool,
    /// Bytes fetched and cut into chunks so far, and all; 0 when not known.
    #[serde(default)]
    pub done_bytes: u64,
    #[serde(default)]
    pub total_bytes: u64,
    /// Size of the disk that it is, in bytes; 0 until known.
    #[serde(default)]
    pub virtual_size: u64,
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub segment: SegmentId,
    pub mac: String,
    pub address: IpAddr,
    #[serde(default)]
    pub hostname: String,
    pub expires_at: Micros,
}

/// A machine that nobody knows yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    pub segment: SegmentId,
    pub mac: String,
    #[serde(default)]
    pub uuid: String,
    /// DHCP option 93 (RFC 4578): 0 BIOS, 7 UEFI x86-64, 16 UEFI x86-64 HTTP.
    #[serde(default)]
    pub arch: u16,
    #[serde(default)]
    pub address: Option<IpAddr>,
    pub first_at: Micros,
    pub last_at: Micros,
}

/// `POST /rack/v1/boot`: somebody asks to boot from the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootQuestion {
    pub segment: SegmentId,
    pub mac: String,
    #[serde(default)]
    pub uuid: String,
    #[serde(default)]
    pub arch: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootAnswer {
    /// Absent: nobody knows it yet; the live system enlists it.
    #[serde(default)]
    pub machine: Option<MachineId>,
    pub boot: Boot,
}

// ------------------------------------------------------------------------------------ image content

/// `GET /images/{sha512}/manifest` of a rack: an image as the disk that it is, in pieces that are checked one
/// by one, can come from anywhere, and need not be written where they are zero.
///
/// `GET /images/{sha512}/chunks/{sha256}` answers one, compressed with zstd (RFC 8878). A live system that
/// writes the same image serves the chunks that it has at the same path (`peers`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the disk, in bytes.
    pub size: u64,
    /// Of a chunk before compression, in bytes; the last may be shorter.
    pub chunk_bytes: u32,
    /// SHA-256 of each chunk before compression, in order, lower-case hexadecimal; empty: zeros.
    pub chunks: Vec<String>,
    /// `http://address:port` of live systems that hold some of it too. May be wrong at any time.
    #[serde(default)]
    pub peers: Vec<String>,
}
