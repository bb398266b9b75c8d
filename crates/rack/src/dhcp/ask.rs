//! What matters of a client's message (RFC 2131, figure 1; RFC 4578 for network boot), read by hand: a
//! library that decodes every option refuses a message for an option that nobody here needs, and the ROMs
//! of network cards send many.

use crate::mac::Mac;
use dhcproto::v4::MessageType;
use std::net::Ipv4Addr;

/// A client's message.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    pub xid: u32,
    pub secs: u16,
    pub flags: u16,
    pub ciaddr: Ipv4Addr,
    /// The relay that passed it on, or zero.
    pub giaddr: Ipv4Addr,
    pub mac: Mac,
    pub kind: MessageType,
    pub requested: Option<Ipv4Addr>,
    pub server: Option<Ipv4Addr>,
    pub client: Option<&'a [u8]>,
    pub hostname: Option<&'a str>,
    /// Option 60.
    pub class: &'a [u8],
    /// Option 77.
    pub user_class: &'a [u8],
    /// Option 93.
    pub arch: Option<u16>,
    /// Option 97 as it came.
    pub machine_id: Option<&'a [u8]>,
    /// Option 175: encapsulated options of iPXE.
    pub ipxe: Option<&'a [u8]>,
    /// Option 82, which goes back to the relay as it came (RFC 3046).
    pub relay_info: Option<&'a [u8]>,
}

/// What a client calls itself. Zeros at the end are cut, which some send and servers expect (RFC 2132, section 2); with
/// other control characters it is no name, and would go on into lists, logs and the region's database.
fn host_name(value: &[u8]) -> Option<&str> {
    let end = value.iter().rposition(|b| *b != 0)?;
    let name = std::str::from_utf8(&value[..=end]).ok()?;
    (!name.chars().any(char::is_control)).then_some(name)
}

/// How a client boots from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boots {
    /// It does not.
    No,
    /// iPXE, which takes a script over HTTP.
    Ipxe,
    /// The ROM of a network card under BIOS: TFTP only.
    Rom,
    /// UEFI over TFTP.
    UefiTftp,
    /// UEFI over HTTP.
    UefiHttp,
    /// A processor or firmware for which there is no live system.
    Foreign(u16),
}

impl<'a> Ask<'a> {
    /// `None` for what is no client's message over Ethernet.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        const REQUEST_OF_ETHERNET: [u8; 3] = [1, 1, 6];
        const COOKIE: [u8; 4] = [99, 130, 83, 99];
        let four = |at: usize| packet.get(at..at + 4)?.try_into().ok().map(|b: [u8; 4]| b);
        if packet.get(..3)? != REQUEST_OF_ETHERNET || four(236)? != COOKIE {
            return None;
        }
        let mut ask = Ask {
            xid: u32::from_be_bytes(four(4)?),
            secs: u16::from_be_bytes([packet[8], packet[9]]),
            flags: u16::from_be_bytes([packet[10], packet[11]]),
            ciaddr: four(12)?.into(),
            giaddr: four(24)?.into(),
            mac: Mac(packet.get(28..34)?.try_into().ok()?),
            // Without option 53 it is BOOTP, which is not answered.
            kind: MessageType::Unknown(0),
            requested: None,
            server: None,
            client: None,
            hostname: None,
            class: &[],
            user_class: &[],
            arch: None,
            machine_id: None,
            ipxe: None,
            relay_info: None,
        };
        if !ask.mac.is_station() {
            return None;
        }
        let mut rest = &packet[240..];
        while let [code, after @ ..] = rest {
            if *code == 0 {
                rest = after;
                continue;
            }
            let (Some(length), false) = (after.first(), *code == 255) else { break };
            let value = after.get(1..1 + usize::from(*length))?;
            rest = &after[1 + value.len()..];
            ask.take(*code, value)?;
        }
        Some(ask)
    }

    fn take(&mut self, code: u8, value: &'a [u8]) -> Option<()> {
        let address = || <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from);
        match code {
            12 => self.hostname = host_name(value),
            50 => self.requested = Some(address()?),
            53 => self.kind = (*value.first()?).into(),
            54 => self.server = Some(address()?),
            60 => self.class = value,
            61 => self.client = Some(value),
            77 => self.user_class = value,
            82 => self.relay_info = Some(value),
            93 => self.arch = Some(u16::from_be_bytes([*value.first()?, *value.get(1)?])),
            97 => self.machine_id = Some(value),
            175 => self.ipxe = Some(value),
            _ => {}
        }
        Some(())
    }

    /// SMBIOS UUID in lower case; empty when it is not told. The first three fields of option 97 have
    /// their bytes in the order of x86 (RFC 4578, 2.3).
    pub fn uuid(&self) -> String {
        match self.machine_id {
            Some([0, id @ ..]) => {
                <[u8; 16]>::try_from(id).map(|b| uuid::Uuid::from_bytes_le(b).to_string()).unwrap_or_default()
            }
            _ => String::new(),
        }
    }

    pub fn boots(&self) -> Boots {
        // RFC 3004 wants a length before each class; iPXE sends its name alone.
        let is_ipxe = self.user_class == b"iPXE" || self.user_class == b"\x04iPXE" || self.ipxe.is_some();
        let http = self.class.starts_with(b"HTTPClient");
        if !http && !is_ipxe && !self.class.starts_with(b"PXEClient") {
            return Boots::No;
        }
        match self.arch.unwrap_or(0) {
            _ if is_ipxe => Boots::Ipxe,
            0 => Boots::Rom,
            // 9 is what RFC 4578 calls EBC and firmware uses for x86-64 too (erratum 4625).
            7 | 9 if !http => Boots::UefiTftp,
            16 => Boots::UefiHttp,
            other => Boots::Foreign(other),
        }
    }
}
