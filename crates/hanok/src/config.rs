//! The configuration: every key has a default, and `hanok config` prints what is in effect.

use base::{Fault, Result};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept.
    pub data: PathBuf,
    /// Address and port of the APIs.
    pub listen: SocketAddr,
    /// Whether the APIs speak TLS: `auto` (unless they listen on loopback), `on` or `off`.
    pub tls: Tls,
    /// A certificate from elsewhere for the APIs, with its chain, in PEM; read again when it changes.
    pub tls_cert: Option<PathBuf>,
    /// Its private key, in PEM.
    pub tls_key: Option<PathBuf>,
    /// Seconds for which the region's own certificates are good, and those of its hosts.
    pub certificate_s: u64,
    /// `sqlite` (in the data directory), or a `postgres://` URL.
    pub database: String,
    /// Where image content is kept; by default `images` in the data directory. Region processes that share a
    /// database share it.
    pub images: Option<PathBuf>,
    /// What clients should be told as our address, if a proxy stands before us.
    pub public_url: Option<String>,
    /// This machine's address on the external network, with its prefix length; of the first start.
    #[serde(deserialize_with = "read_own_address")]
    pub public: Ipv4Net,
    /// Name of the host that runs guests; by default the machine's host name.
    pub host_name: Option<String>,
    /// This host's address for tunnels to other hosts; by default the one that reaches the region.
    pub tunnel: Option<IpAddr>,
    /// This host's address for disks and memory of servers that move here; by default the one that reaches the region.
    pub storage: Option<IpAddr>,
    /// Largest packet of guests between hosts, in bytes; by default what fits through the narrowest host.
    pub overlay_mtu: Option<u32>,
    /// Where built images are kept for the next installation.
    pub cache: PathBuf,
    /// Seconds that a guest has to power down by itself.
    pub grace_s: u64,
    /// Ports of this machine that guests reach at its addresses on external networks, such as `tcp/3128`;
    /// `api` is the port of the APIs.
    pub guests_reach: Vec<String>,
    /// Physical networks that this host reaches, with the NIC by which it does: `office = "eth1"`.
    pub physical_networks: BTreeMap<String, String>,
    /// Network interfaces on which this machine is the rack controller for machines, such as `["eth1"]`. Empty: it is
    /// none; `hanok rack` then serves those that the region names.
    pub rack: Vec<String>,
    /// Bytes of images that a rack keeps near its machines although none is to be written with them any more.
    pub rack_image_bytes: u64,
    /// Days for which events are kept; 0: for ever.
    pub keep_events_days: u64,
    /// Days for which the audit trail is kept (who asked for what); 0: for ever.
    pub keep_audit_days: u64,
    /// How images are imported.
    pub image: image::Imports,
    /// How servers are deleted.
    pub compute: compute::Settings,
    /// How long machines without a system may take.
    pub metal: metal::Patience,
    /// Rules for passwords and accounts.
    pub identity: identity::Rules,
    /// The portal.
    pub portal: portal::Settings,
}

/// Whether the APIs speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Unless they listen on loopback.
    Auto,
    On,
    /// A proxy before us does.
    Off,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data: "/var/lib/hanok".into(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5240),
            tls: Tls::Auto,
            tls_cert: None,
            tls_key: None,
            certificate_s: 30 * 24 * 3600,
            database: "sqlite".into(),
            images: None,
            public_url: None,
            public: Ipv4Net::new_assert(Ipv4Addr::new(172, 24, 4, 1), 24),
            host_name: None,
            tunnel: None,
            storage: None,
            overlay_mtu: None,
            cache: "/var/cache/hanok".into(),
            grace_s: 60,
            guests_reach: vec!["api".into()],
            physical_networks: BTreeMap::new(),
            rack: Vec::new(),
            rack_image_bytes: 50 << 30,
            keep_events_days: 90,
            keep_audit_days: 400,
            image: image::Imports::default(),
            compute: compute::Settings::default(),
            metal: metal::Patience::default(),
            identity: identity::Rules::default(),
            portal: portal::Settings::default(),
        }
    }
}

impl Config {
    /// Reads the file; a missing one means all defaults.
    pub fn load(file: &Path) -> Result<Config> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
            Err(e) => return Err(Fault::bad_request(format!("{} cannot be read: {e}", file.display()))),
        };
        toml::from_str(&text).map_err(|e| Fault::bad_request(format!("{}: {e}", file.display())))
    }

    pub fn print(&self) -> Result<()> {
        let text = toml::to_string(&self.shown()).map_err(Fault::internal)?;
        crate::say::out(text.trim_end());
        Ok(())
    }

    /// All of it, without what is secret.
    pub fn shown(&self) -> Config {
        Config { database: self.database_shown(), ..self.clone() }
    }

    /// The database without the password in its address.
    pub fn database_shown(&self) -> String {
        without_password(&self.database)
    }

    /// Whether the APIs speak TLS.
    pub fn secure(&self) -> bool {
        match self.tls {
            Tls::Auto => !self.listen.ip().is_loopback(),
            Tls::On => true,
            Tls::Off => false,
        }
    }

    /// # Errors
    /// `BadRequest` for what is no port.
    pub fn guests_reach(&self) -> Result<Vec<agent::net::HostPort>> {
        let api = agent::net::HostPort { udp: false, port: self.listen.port() };
        self.guests_reach.iter().map(|p| if p == "api" { Ok(api) } else { p.parse() }).collect()
    }

    /// As [`Config::guests_reach`], of a host without a region on it.
    pub fn guests_reach_host(&self) -> Result<Vec<agent::net::HostPort>> {
        self.guests_reach.iter().filter(|p| *p != "api").map(|p| p.parse()).collect()
    }

    /// This host's address for tunnels, when the region is on it: where it listens, if others reach that.
    pub fn own_tunnel(&self) -> Option<IpAddr> {
        let listen = Some(self.listen.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified());
        self.tunnel.or(listen)
    }

    /// How clients reach us: the configured URL, or the listening address.
    pub fn url(&self) -> String {
        if let Some(url) = &self.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        let ip = match self.listen.ip() {
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        let scheme = if self.secure() { "https" } else { "http" };
        format!("{scheme}://{}", SocketAddr::new(ip, self.listen.port()))
    }
}

/// Reads this machine's own address in a network that has room for floating IPs, such as 172.24.4.1/24.
///
/// # Errors
/// What to give instead, where it is something else.
pub fn own_address(text: &str) -> std::result::Result<Ipv4Net, String> {
    const WANTED: &str = "give this machine's own address in the external network and its prefix length";
    let net: Ipv4Net = text.parse().map_err(|_| format!("{WANTED}, such as 172.24.4.1/24"))?;
    if net.prefix_len() > 29 {
        // Its address, a router's, and one to float.
        return Err(format!(
            "{} has no room for floating IPs: the prefix length may be 29 at most",
            net.trunc()
        ));
    }
    if net.addr() == net.network() || net.addr() == net.broadcast() {
        let first = Ipv4Addr::from(u32::from(net.network()) + 1);
        return Err(format!("{net} is no machine's address: {WANTED}, such as {first}/{}", net.prefix_len()));
    }
    Ok(net)
}

fn read_own_address<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Ipv4Net, D::Error> {
    own_address(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// `postgres://user:secret@host/name?password=secret` without the secrets.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (address, query) = rest.split_once('?').map_or((rest, None), |(a, q)| (a, Some(q)));
    let address = match address.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{host}"),
            None => address.to_owned(),
        },
        None => address.to_owned(),
    };
    let hide =
        |part: &str| if part.starts_with("password=") { "password=***".to_owned() } else { part.to_owned() };
    let query = query.map(|q| format!("?{}", q.split('&').map(hide).collect::<Vec<_>>().join("&")));
    format!("{scheme}://{address}{}", query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("sqlite", "sqlite"),
            ("postgres://h@db/x", "postgres://h@db/x"),
            ("postgres://h:s3c:r@t@db:5432/x?sslmode=require", "postgres://h:***@db:5432/x?sslmode=require"),
            ("postgres://db/x?user=h&password=s", "postgres://db/x?user=h&password=***"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn this_machines_own_address_is_wanted() {
        for good in ["172.24.4.1/24", "10.9.255.254/16", "192.0.2.9/29"] {
            assert_eq!(own_address(good).map(|net| net.to_string()), Ok(good.to_owned()));
        }
        for (bad, part) in [
            ("172.24.77.0/24", "such as 172.24.77.1/24"),
            ("172.24.77.255/24", "such as 172.24.77.1/24"),
            ("192.0.2.1/30", "no room"),
            ("192.0.2.1/32", "no room"),
            ("172.24.77.1", "and its prefix length, such as 172.24.4.1/24"),
            ("fd00::1/64", "such as 172.24.4.1/24"),
            ("", "such as 172.24.4.1/24"),
        ] {
            let said = own_address(bad).unwrap_err();
            assert!(said.contains(part), "{bad}: {said}");
        }
        let said = toml::from_str::<Config>("public = \"172.24.77.0/24\"").unwrap_err().to_string();
        assert!(said.contains("such as 172.24.77.1/24") && said.contains("public ="), "{said}");
    }

    #[test]
    fn the_printed_configuration_reads_back() {
        let c = Config { public_url: Some("https://cloud.example".into()), ..Config::default() };
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&c).unwrap()).unwrap(), c);
        assert!(toml::from_str::<Config>("[identity]\nlockout = 1").is_err(), "a misspelt key is told");
        assert!(toml::from_str::<Config>("dta = \"/x\"").is_err(), "a misspelt key is told");
    }
}
