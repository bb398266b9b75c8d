//! The management controller, asked over the machine's own IPMI interface (`ipmitool`, as the protocol over
//! `/dev/ipmi0` is nothing but ioctls).

use super::smbios::Tables;
use base::doc::live::BmcFacts;
use std::path::Path;
use std::process::Command;

/// Channels that a BMC's network port may have.
const CHANNELS: [&str; 3] = ["1", "2", "8"];

pub fn facts(tables: &Tables) -> Option<BmcFacts> {
    let device = ["/dev/ipmi0", "/dev/ipmi/0"].iter().any(|d| Path::new(d).exists());
    if !device {
        // It is there, but no driver of ours speaks to it.
        return tables.has_bmc().then(BmcFacts::default);
    }
    let mut facts = identity(&ask(&["mc", "info"])?);
    for channel in CHANNELS {
        let (address, mac) = ask(&["lan", "print", channel]).map(|t| lan(&t)).unwrap_or_default();
        if !mac.is_empty() {
            (facts.address, facts.mac) = (address, mac);
            break;
        }
    }
    Some(facts)
}

/// A BMC may hang: it gets a few seconds.
fn ask(words: &[&str]) -> Option<String> {
    let output = Command::new("timeout").args(["10", "ipmitool", "-I", "open"]).args(words).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().filter_map(|l| l.split_once(':')).find(|(n, _)| n.trim() == name);
    found.map(|(_, v)| v.trim()).unwrap_or_default()
}

fn identity(text: &str) -> BmcFacts {
    BmcFacts {
        firmware: value(text, "Firmware Revision").to_owned(),
        vendor: value(text, "Manufacturer Name").to_owned(),
        ..BmcFacts::default()
    }
}

fn lan(text: &str) -> (String, String) {
    let address = value(text, "IP Address");
    let address = if address == "0.0.0.0" { "" } else { address };
    (address.to_owned(), value(text, "MAC Address").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ipmitool_prints() {
        let text = "Set in Progress         : Set Complete\nAuth Type Enable        : Callback : MD5\n                        : User     : MD5\nIP Address Source       : Static Address\nIP Address              : 10.0.0.9\nSubnet Mask             : 255.255.255.0\nMAC Address             : 0C:C4:7A:00:00:01\n";
        assert_eq!(lan(text), ("10.0.0.9".into(), "0c:c4:7a:00:00:01".into()));
        assert_eq!(lan(""), Default::default());
        let who = identity(
            "Firmware Revision         : 3.88\nManufacturer ID           : 10876\nManufacturer Name         : Supermicro\n",
        );
        assert_eq!((who.firmware.as_str(), who.vendor.as_str()), ("3.88", "Supermicro"));
    }
}
