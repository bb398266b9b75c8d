//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

/// An Ethernet address; written in lower case with colons, read with colons or dashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether it can be one computer's: neither a group's nor zero.
    pub fn is_station(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
    /// Whether it begins as those that Networking gives to ports: a guest on the same wire, most likely.
    pub fn is_guests(self) -> bool {
        self.0[..3] == [0xfa, 0x16, 0x3e]
    }
    /// `aa-bb-…`, as it stands in paths and in `BOOTIF`.
    pub fn dashed(self) -> String {
        self.to_string().replace(':', "-")
    }
    /// The one in a link-local address made by RFC 4291, appendix A.
    pub fn from_link_local(address: std::net::Ipv6Addr) -> Option<Self> {
        match address.octets() {
            [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a, b, c, 0xff, 0xfe, d, e, f] => Some(Mac([a ^ 2, b, c, d, e, f])),
            _ => None,
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut mac = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut mac {
            let part = parts.next().filter(|p| p.len() == 2).ok_or(())?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| ())?;
        }
        if parts.next().is_some() { Err(()) } else { Ok(Mac(mac)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mac: Mac = "52:54:00:AB:00:01".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:00:01");
        assert_eq!(mac.dashed().parse(), Ok(mac));
        for bad in ["", "52:54:00:ab:00", "52:54:00:ab:00:01:02", "5:54:00:ab:00:01", "zz:54:00:ab:00:01"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        assert_eq!(Mac::from_link_local("fe80::5054:ff:feab:1".parse().unwrap()), Some(mac));
    }
}
