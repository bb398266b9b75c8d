//! An invitation, as an administrator hands it out.

use std::str::FromStr;

/// The region's port when an invitation names none.
const PORT: u16 = 5240;

/// What an administrator hands out: `SECRET.FINGERPRINT@ADDRESS[:PORT]`, without the fingerprint for a region
/// that speaks plain HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    pub secret: String,
    /// Of the region's certificate authority.
    pub fingerprint: Option<String>,
    /// Host name or address with the port.
    pub region: String,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invitation {{ region: {} }}", self.region)
    }
}

impl Invitation {
    /// The region's base URL.
    pub fn url(&self) -> String {
        let scheme = if self.fingerprint.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.region)
    }
}

impl FromStr for Invitation {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let form = "it has the form TOKEN@ADDRESS or TOKEN@ADDRESS:PORT; `hanok admin join-token` prints one, for a rack `hanok admin rack-token`";
        let (secret, address) = text.trim().rsplit_once('@').ok_or_else(|| format!("no address: {form}"))?;
        if secret.len() < 16 || !secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
            return Err(format!("this is no token: {form}"));
        }
        let with_port =
            |a: &str| a.rsplit_once(':').is_some_and(|(h, p)| p.parse::<u16>().is_ok() && !h.ends_with(':'));
        let bare_v6 = address.parse::<std::net::Ipv6Addr>().is_ok();
        let region = match address {
            "" => return Err(format!("no address: {form}")),
            a if bare_v6 => format!("[{a}]:{PORT}"),
            a if with_port(a) => a.to_owned(),
            a => format!("{a}:{PORT}"),
        };
        if region.parse::<http::uri::Authority>().is_err() {
            return Err(format!("{address:?} is no address: {form}"));
        }
        let (secret, fingerprint) = match secret.split_once('.') {
            Some((secret, print)) if print.len() == 40 && print.bytes().all(|b| b.is_ascii_hexdigit()) => {
                (secret, Some(print.to_owned()))
            }
            Some(_) => return Err(format!("the token is not whole: {form}")),
            None => (secret, None),
        };
        Ok(Invitation { secret: secret.to_owned(), fingerprint, region })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_invitations() {
        let of =
            |address: &str| format!("0123456789abcdef@{address}").parse::<Invitation>().map(|i| i.region);
        assert_eq!(of("10.0.0.1").unwrap(), "10.0.0.1:5240");
        assert_eq!(of("10.0.0.1:99").unwrap(), "10.0.0.1:99");
        assert_eq!(of("cloud.example").unwrap(), "cloud.example:5240");
        assert_eq!(of("fd00::1").unwrap(), "[fd00::1]:5240");
        assert_eq!(of("[fd00::1]:99").unwrap(), "[fd00::1]:99");
        let whole = format!("0123456789abcdef.{}@h", "ab".repeat(20)).parse::<Invitation>().unwrap();
        assert_eq!((whole.url().as_str(), whole.secret.len()), ("https://h:5240", 16));
        assert!("0123456789abcdef.abcd@h".parse::<Invitation>().unwrap_err().contains("not whole"));
        for bad in ["", "0123456789abcdef", "0123456789abcdef@", "short@10.0.0.1", "0123456789abcdef@a b"] {
            assert!(bad.parse::<Invitation>().unwrap_err().contains("TOKEN@ADDRESS"), "{bad}");
        }
    }
}
