//! The `Authorization` header of MAAS clients: OAuth 1.0 with PLAINTEXT signatures (RFC 5849, 3.4.4), where the
//! signature is the secret itself. Written leniently, because clients are: values quoted or bare, the
//! signature percent-encoded or not, any realm.

use base::{Fault, Kind, Result};
use percent_encoding::percent_decode_str;

/// What the header proves, once the secret is compared.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    pub consumer: String,
    pub token: String,
    pub secret: String,
}

/// The words of a 401.
pub fn refused(why: &str) -> Fault {
    Fault::new(Kind::Unauthorized, why.to_owned())
}

/// Reads a header.
///
/// # Errors
/// 401 for one that is no OAuth 1 PLAINTEXT, 400 for a timestamp that is no number.
pub fn read(header: &str) -> Result<Claim> {
    let rest = scheme(header).ok_or_else(|| {
        refused("Unrecognised signature: this door wants an API key, by OAuth 1.0 PLAINTEXT.")
    })?;
    let pairs = pairs(rest);
    // No key has one, and the database does not even take the question.
    if pairs.iter().any(|(_, v)| v.contains('\0')) {
        return Err(refused("Authorization Error: Invalid API key."));
    }
    let get = |name: &str| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    let need =
        |name: &str| get(name).ok_or_else(|| refused(&format!("Authorization Error: {name} is missing.")));
    if !need("oauth_signature_method")?.eq_ignore_ascii_case("PLAINTEXT") {
        return Err(refused("Authorization Error: the signature method is not PLAINTEXT."));
    }
    if get("oauth_timestamp").is_some_and(|t| t.parse::<i64>().is_err()) {
        return Err(Fault::bad_request("The value of oauth_timestamp is not a whole number."));
    }
    let signature = need("oauth_signature")?;
    let secret = match signature.split_once('&') {
        Some(("", secret)) if !secret.is_empty() => secret,
        _ => return Err(refused("Authorization Error: the signature of an API key is & and its secret.")),
    };
    Ok(Claim {
        consumer: need("oauth_consumer_key")?.to_owned(),
        token: need("oauth_token")?.to_owned(),
        secret: secret.to_owned(),
    })
}

fn scheme(header: &str) -> Option<&str> {
    let header = header.trim_start();
    let (scheme, rest) = header.split_once([' ', '\t'])?;
    scheme.eq_ignore_ascii_case("oauth").then_some(rest)
}

/// `name="value"` or `name=value`, between commas, decoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    let (mut list, mut rest) = (Vec::new(), text);
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        let decode = |s: &str| percent_decode_str(s.trim()).decode_utf8_lossy().into_owned();
        list.push((name.trim_matches([',', ' ', '\t']).to_ascii_lowercase(), decode(value)));
        rest = next;
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim() -> Claim {
        Claim { consumer: "c".into(), token: "t".into(), secret: "s".into() }
    }

    #[test]
    fn headers_as_clients_write_them() {
        for header in [
            r#"OAuth oauth_nonce="1", oauth_timestamp="1700000000", oauth_version="1.0", oauth_signature_method="PLAINTEXT", oauth_consumer_key="c", oauth_token="t", oauth_signature="%26s""#,
            r#"OAuth realm="MAAS API",oauth_consumer_key="c",oauth_token="t",oauth_signature_method="PLAINTEXT",oauth_signature="&s""#,
            r"oauth realm=OAuth, oauth_consumer_key=c, oauth_token=t, oauth_signature_method=plaintext, oauth_signature=%26s",
        ] {
            assert_eq!(read(header).unwrap(), claim(), "{header}");
        }
    }

    #[test]
    fn what_is_refused() {
        let with = |more: &str| {
            read(&format!("OAuth oauth_consumer_key=c, oauth_token=t, {more}")).unwrap_err().kind
        };
        assert_eq!(with("oauth_signature_method=HMAC-SHA1, oauth_signature=%26s"), Kind::Unauthorized);
        assert_eq!(with("oauth_signature_method=PLAINTEXT"), Kind::Unauthorized);
        for signature in ["s", "%26", "x%26s", ""] {
            let all = format!("oauth_signature_method=PLAINTEXT, oauth_signature={signature}");
            assert_eq!(with(&all), Kind::Unauthorized, "{signature}");
        }
        let late = "oauth_timestamp=soon, oauth_signature_method=PLAINTEXT, oauth_signature=%26s";
        assert_eq!(with(late), Kind::BadRequest);
        for other in ["", "Bearer x", "OAuth", "Basic OAuth", "OAuth nonsense"] {
            assert_eq!(read(other).unwrap_err().kind, Kind::Unauthorized, "{other}");
        }
    }

    proptest! {
        #[test]
        fn anything_at_all(header in "\\PC{0,200}") {
            let _ = read(&header);
            let _ = read(&format!("OAuth {header}"));
        }
    }
}
