//! What the kernel's command line says: where the rack is, the secret, and the card that the machine booted from.

use base::{Fault, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Scheme, address and port of the rack.
    pub url: String,
    pub token: String,
    /// Lower case with colons; empty when the boot program did not say.
    pub boot_mac: String,
}

impl Options {
    pub fn parse(cmdline: &str) -> Result<Options> {
        let word = |name: &str| {
            cmdline.split_whitespace().rev().find_map(|w| w.strip_prefix(name)).unwrap_or_default()
        };
        let url = word("hanok.url=").trim_end_matches('/');
        if !url.starts_with("http://") {
            return Err(Fault::bad_request(
                "The kernel's command line has no hanok.url=http://…: the live system does not know its rack. \
                 Boot it through a Hanok rack controller.",
            ));
        }
        Ok(Options {
            url: url.to_owned(),
            token: word("hanok.token=").to_owned(),
            boot_mac: boot_mac(word("BOOTIF=")),
        })
    }
}

/// PXELINUX writes `01-52-54-00-…`, the hardware type before the address; iPXE may leave colons.
fn boot_mac(text: &str) -> String {
    let text = text.to_ascii_lowercase().replace('-', ":");
    let kind = |k: &str| k.len() == 3 && k.ends_with(':') && u8::from_str_radix(&k[..2], 16).is_ok();
    let mac = match text.split_at_checked(3) {
        Some((first, rest)) if text.len() == 20 && kind(first) => rest,
        _ => &text,
    };
    let good = mac.len() == 17 && mac.split(':').all(|b| b.len() == 2 && u8::from_str_radix(b, 16).is_ok());
    if good { mac.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_where_to_go() {
        let all = Options::parse(
            "console=ttyS0 hanok.url=http://10.0.0.1:5248/ hanok.token=abc BOOTIF=01-52-54-00-AA-bb-cc\n",
        );
        let want = Options {
            url: "http://10.0.0.1:5248".into(),
            token: "abc".into(),
            boot_mac: "52:54:00:aa:bb:cc".into(),
        };
        assert_eq!(all.unwrap(), want);
        assert_eq!(boot_mac("52:54:00:aa:bb:cc"), "52:54:00:aa:bb:cc");
        for strange in ["", "01-52", "zz-52-54-00-aa-bb-cc", "01-52-54-00-aa-bb-cg", "über-die-maßen-lang"]
        {
            assert_eq!(boot_mac(strange), "", "{strange}");
        }
        assert!(Options::parse("quiet").unwrap_err().message.contains("hanok.url"));
    }
}
