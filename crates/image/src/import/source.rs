//! Where content may be fetched from, and what it is converted to: the installation's word.
//!
//! A region stands inside a network whose other machines trust it, so by default it fetches only from
//! addresses of the public Internet. What counts is the address that is connected to, not the name.

use crate::model::{Container, DiskFormat, Record};
use base::{Fault, Result};
use http::Uri;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The name of this region, as Identity's catalog has it.
pub const REGION: &str = "RegionOne";

/// How images are imported (`[image]` of the configuration).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Imports {
    /// `qcow2` or `raw`: bare disks in another format are converted when they are imported. Empty: kept as
    /// they come.
    pub convert_to: String,
    /// Names or addresses that web-download may fetch from, which then may be private ones. Empty: any
    /// host with a public address.
    pub download_hosts: Vec<String>,
    /// Ports that web-download may fetch from.
    pub download_ports: Vec<u16>,
    /// Seconds that one download may take.
    pub download_s: u64,
}

impl Default for Imports {
    fn default() -> Self {
        Imports {
            convert_to: String::new(),
            download_hosts: Vec::new(),
            download_ports: vec![80, 443],
            download_s: 4 * 3600,
        }
    }
}

impl Imports {
    /// # Errors
    /// 400 when the configuration asks for what cannot be.
    pub fn check(&self) -> Result<()> {
        if matches!(self.convert_to.as_str(), "" | "qcow2" | "raw") {
            return Ok(());
        }
        Err(Fault::bad_request(format!(
            "image.convert_to is \"qcow2\", \"raw\" or empty in the configuration, not {:?}.",
            self.convert_to
        )))
    }

    /// What the image has to be converted to. Disks that are meant to be what they are (an ISO, the parts
    /// of an AMI) stay.
    pub fn convert_to(&self, row: &Record) -> Option<DiskFormat> {
        let to = DiskFormat::of(&self.convert_to)?;
        let from = row.disk_format.filter(|f| super::convert::name(*f).is_some())?;
        (row.container == Some(Container::Bare) && from != to).then_some(to)
    }

    /// Reads an address to fetch from.
    ///
    /// # Errors
    /// 400 when it is none that may be fetched.
    pub fn parse(&self, text: &str) -> Result<Source> {
        let refused = |why: &str| {
            let shown: String = text.chars().take(200).collect();
            Fault::bad_request(format!("URI for web-download does not pass filtering: {shown} ({why})."))
        };
        let uri: Uri = text.parse().map_err(|_| refused("it is no URI"))?;
        let port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(refused("only http and https are fetched")),
        };
        let authority = uri.authority().ok_or_else(|| refused("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refused("it holds a user name or password, which would be shown to others"));
        }
        let host = authority.host().to_ascii_lowercase();
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let sane = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        if plain.is_empty() || !plain.bytes().all(sane) {
            return Err(refused("the host's name is not one"));
        }
        let port = match authority.as_str().get(authority.host().len()..).and_then(|p| p.strip_prefix(':')) {
            None | Some("") => port,
            Some(given) => given.parse().map_err(|_| refused("the port is none"))?,
        };
        if !self.download_ports.contains(&port) {
            return Err(refused(&format!("port {port} is not among the allowed ports")));
        }
        let source = Source {
            https: uri.scheme_str() == Some("https"),
            host: plain.to_owned(),
            port,
            path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        };
        if !self.download_hosts.is_empty() && !self.names(plain) {
            return Err(refused("the host is not among the allowed hosts"));
        }
        if let Ok(address) = plain.parse::<IpAddr>()
            && !self.allows(plain, address)
        {
            return Err(refused("the address is not a public one"));
        }
        Ok(source)
    }

    fn names(&self, host: &str) -> bool {
        self.download_hosts.iter().any(|h| h.eq_ignore_ascii_case(host))
    }

    /// Whether one may connect to `address` for `host`.
    pub fn allows(&self, host: &str, address: IpAddr) -> bool {
        if self.download_hosts.is_empty() { is_public(address) } else { self.names(host) }
    }
}

/// What is fetched, in parts, so that nobody reads the text in another way than we did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub https: bool,
    /// Without brackets.
    pub host: String,
    pub port: u16,
    /// With the query.
    pub path: String,
}

impl Source {
    pub fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}{}", self.port, self.path)
    }
    /// Where a redirection leads; `location` may be relative.
    pub fn onward(&self, location: &str) -> String {
        if location.starts_with("//") {
            return format!("{}:{location}", if self.https { "https" } else { "http" });
        }
        if location.contains("://") {
            return location.to_owned();
        }
        let base = Source { path: String::new(), ..self.clone() }.url();
        if location.starts_with('/') {
            return format!("{base}{location}");
        }
        let path = self.path.split('?').next().unwrap_or("/");
        let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
        format!("{base}{folder}{location}")
    }
}

/// Whether an address is one of the public Internet (IANA's special-purpose registries).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => is_public_v4(a),
        IpAddr::V6(a) => is_public_v6(a),
    }
}

fn is_public_v4(a: Ipv4Addr) -> bool {
    let [x, y, z, _] = a.octets();
    let special = a.is_private()
        || a.is_loopback()
        || a.is_link_local()
        || a.is_multicast()
        || a.is_documentation()
        || x == 0
        || x >= 240
        || (x == 100 && (64..128).contains(&y))
        || (x == 192 && y == 0 && z == 0)
        || (x == 198 && (18..20).contains(&y));
    !special
}

fn is_public_v6(a: Ipv6Addr) -> bool {
    let s = a.segments();
    let inner = |hi: u16, lo: u16| {
        let ([a, b], [c, d]) = (hi.to_be_bytes(), lo.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // NAT64, and 6to4: the address inside counts.
        [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] => inner(hi, lo),
        [0x2002, hi, lo, ..] => inner(hi, lo),
        // Teredo, benchmarks, ORCHID, documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for no in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "198.51.100.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fd00:ec2::254",
            "64:ff9b:1::1",
        ] {
            assert!(!is_public(no.parse().unwrap()), "{no}");
        }
        for yes in [
            "8.8.8.8",
            "100.63.0.1",
            "172.32.0.1",
            "2600::1",
            "2a00:1450::1",
            "64:ff9b::808:808",
            "2001:4860::1",
        ] {
            assert!(is_public(yes.parse().unwrap()), "{yes}");
        }
    }

    #[test]
    fn what_is_fetched_is_what_was_checked() {
        let imports = Imports::default();
        for no in [
            "",
            "image.qcow2",
            "/etc/passwd",
            "file:///etc/passwd",
            "ftp://example.org/x",
            "gopher://example.org",
            "http://",
            "http:///x",
            "http://example.org:22/x",
            "http://a@example.org/x",
            "http://user:pass@example.org/",
            "http://127.0.0.1/x",
            "http://[::1]/x",
            "http://169.254.169.254/latest",
            "http://exa mple.org/",
            "http://exämple.org/",
            "http://example.org:99999/",
            "http://[fe80::1%25eth0]/",
        ] {
            let refused = imports.parse(no).map_err(|f| f.message);
            assert!(
                refused.as_ref().is_err_and(|m| m.contains("does not pass filtering")),
                "{no}: {refused:?}"
            );
        }
        let url = |text: &str| imports.parse(text).unwrap().url();
        assert_eq!(url("HTTP://Example.ORG/a?b=c#d"), "http://example.org:80/a?b=c");
        assert_eq!(url("https://example.org"), "https://example.org:443/");
        assert_eq!(url("https://[2600::1]/x"), "https://[2600::1]:443/x");
    }

    #[test]
    fn named_hosts_may_be_private_and_are_the_only_ones() {
        let imports = Imports {
            download_hosts: vec!["mirror.lan".into(), "127.0.0.1".into()],
            download_ports: vec![8080],
            ..Imports::default()
        };
        assert!(imports.parse("http://127.0.0.1:8080/x").is_ok());
        let mirror = imports.parse("http://Mirror.LAN:8080/x").unwrap();
        assert!(imports.allows(&mirror.host, "10.0.0.9".parse().unwrap()));
        for no in [
            "http://127.0.0.2:8080/",
            "http://mirror.lan/",
            "http://example.org:8080/",
            "http://mirror.lan.:8080/",
        ] {
            assert!(imports.parse(no).is_err(), "{no}");
        }
    }

    #[test]
    fn redirections_lead_where_browsers_go() {
        let at = Imports::default().parse("https://example.org/a/b?c=d/e").unwrap();
        assert_eq!(at.onward("http://other.org/x"), "http://other.org/x");
        assert_eq!(at.onward("//other.org/x"), "https://other.org/x");
        assert_eq!(at.onward("/x"), "https://example.org:443/x");
        assert_eq!(at.onward("x"), "https://example.org:443/a/x");
    }
}
