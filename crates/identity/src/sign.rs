//! Signatures of requests by the secret half of an ec2 key: EC2's version 2 (Amazon EC2 Query API,
//! "Signature Version 2"), version 4 ("Signature Version 4 signing process") and S3's own first one. All
//! comparisons take as long whether they succeed or not.

use base::{Fault, Micros, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// What stays as it is in a canonical query: RFC 3986's unreserved characters.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// How far from now a signature may have been made, either way.
const FRESH: Duration = Duration::from_secs(15 * 60);
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A request as the service that received it passes it on.
#[derive(Debug, Default)]
pub struct Signed {
    pub signature: String,
    pub verb: String,
    pub host: String,
    pub path: String,
    pub params: BTreeMap<String, String>,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Hex SHA-256 of the body.
    pub body_hash: String,
}

fn no(why: &str) -> Fault {
    Fault::unauthorized().because(why)
}

fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Result<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).map_err(Fault::internal)?;
    mac.update(data);
    Ok(mac)
}

fn sha256(key: &[u8], data: &str) -> Result<Vec<u8>> {
    Ok(mac::<Hmac<Sha256>>(key, data.as_bytes())?.finalize().into_bytes().to_vec())
}

/// Whether `secret` has signed the request, lately.
///
/// # Errors
/// `Kind::Unauthorized`; the cause says why.
pub fn check_ec2(secret: &str, request: &Signed) -> Result<()> {
    fresh(request)?;
    let authorization = request.headers.get("authorization").map_or("", String::as_str);
    let v4 = authorization.starts_with(ALGORITHM)
        || request.params.get("X-Amz-Algorithm").is_some_and(|a| a == ALGORITHM);
    if v4 {
        return check_v4(secret, request, authorization);
    }
    match request.params.get("SignatureVersion").map(String::as_str) {
        Some("2") => check_v2(secret, request),
        _ => Err(no("only the signature versions 2 and 4 are known")),
    }
}

fn fresh(request: &Signed) -> Result<()> {
    let said = [
        request.params.get("Timestamp"),
        request.params.get("X-Amz-Date"),
        request.headers.get("x-amz-date"),
    ];
    let said = said.into_iter().flatten().next().ok_or_else(|| no("the request has no time"))?;
    let at = basic_time(said)
        .or_else(|| Micros::parse(said))
        .ok_or_else(|| no("the request's time is not one"))?;
    let now = Micros::now();
    if now.since(at) > FRESH || at.since(now) > FRESH {
        return Err(no("the signature is too old, or of the future"));
    }
    Ok(())
}

/// `20261121T034500Z`.
fn basic_time(text: &str) -> Option<Micros> {
    let (date, time) = text.split_once('T')?;
    let time = time.strip_suffix('Z')?;
    if date.len() != 8 || time.len() != 6 || !text.is_ascii() {
        return None;
    }
    Micros::parse(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    ))
}

fn query(params: &BTreeMap<String, String>, without: &str) -> String {
    let encode = |s: &str| utf8_percent_encode(s, QUERY).to_string();
    let pairs = params.iter().filter(|(k, _)| *k != without);
    pairs.map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect::<Vec<_>>().join("&")
}

fn check_v2(secret: &str, request: &Signed) -> Result<()> {
    let given = STANDARD.decode(&request.signature).map_err(|_| no("the signature is not base64"))?;
    let params = query(&request.params, "Signature");
    let bare = request.host.split(':').next().unwrap_or_default();
    let old = request.params.get("SignatureMethod").is_some_and(|m| m == "HmacSHA1");
    // Some clients sign the port, some do not.
    for host in [request.host.as_str(), bare] {
        let text = format!("{}\n{host}\n{}\n{params}", request.verb, request.path);
        let good = if old {
            mac::<Hmac<Sha1>>(secret.as_bytes(), text.as_bytes())?.verify_slice(&given).is_ok()
        } else {
            mac::<Hmac<Sha256>>(secret.as_bytes(), text.as_bytes())?.verify_slice(&given).is_ok()
        };
        if good {
            return Ok(());
        }
    }
    Err(no("the signature does not match"))
}

/// The part of an `Authorization` header behind `name=`.
fn part<'a>(authorization: &'a str, name: &str) -> Option<&'a str> {
    let rest = authorization.strip_prefix(ALGORITHM)?;
    rest.split(',').find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('='))
}

fn check_v4(secret: &str, request: &Signed, authorization: &str) -> Result<()> {
    let of = |name: &str, param: &str| {
        part(authorization, name).or_else(|| request.params.get(param).map(String::as_str))
    };
    let credential = of("Credential", "X-Amz-Credential").ok_or_else(|| no("the request names no key"))?;
    let names = of("SignedHeaders", "X-Amz-SignedHeaders").ok_or_else(|| no("no headers are signed"))?;
    let scope = credential.split_once('/').map_or("", |(_, scope)| scope);
    let date = request.headers.get("x-amz-date").or_else(|| request.params.get("X-Amz-Date"));
    let date = date.ok_or_else(|| no("the request has no time"))?;
    let bare = request.host.split(':').next().unwrap_or_default();
    let signed_host = request.headers.get("host").map_or(request.host.as_str(), String::as_str);
    for host in [signed_host, bare] {
        let canonical = canonical(request, names, host);
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
        if verify_v4(secret, scope, &text, &request.signature)? {
            return Ok(());
        }
    }
    Err(no("the signature does not match"))
}

fn canonical(request: &Signed, names: &str, host: &str) -> String {
    let params =
        if request.verb == "POST" { String::new() } else { query(&request.params, "X-Amz-Signature") };
    let headers: String = names
        .split(';')
        .map(|name| {
            let value =
                if name == "host" { host } else { request.headers.get(name).map_or("", |v| v.trim()) };
            format!("{name}:{value}\n")
        })
        .collect();
    format!("{}\n{}\n{params}\n{headers}\n{names}\n{}", request.verb, request.path, request.body_hash)
}

/// `scope` is `date/region/service/aws4_request`.
fn verify_v4(secret: &str, scope: &str, text: &str, signature: &str) -> Result<bool> {
    let Ok(given) = hex::decode(signature) else { return Ok(false) };
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = sha256(&key, part)?;
    }
    Ok(mac::<Hmac<Sha256>>(&key, text.as_bytes())?.verify_slice(&given).is_ok())
}

/// Whether `secret` has signed `token`, the base64 of what an S3 client signs.
///
/// # Errors
/// `Kind::Unauthorized`; the cause says why.
pub fn check_s3(secret: &str, token: &str, signature: &str) -> Result<()> {
    let text = STANDARD.decode(token).or_else(|_| base64::engine::general_purpose::URL_SAFE.decode(token));
    let text = text.map_err(|_| no("the token is not base64"))?;
    let good = match std::str::from_utf8(&text) {
        Ok(text) if text.starts_with(ALGORITHM) => {
            let scope = text.lines().nth(2).unwrap_or_default();
            verify_v4(secret, scope, text, signature)?
        }
        _ => match STANDARD.decode(signature) {
            Ok(given) => mac::<Hmac<Sha1>>(secret.as_bytes(), &text)?.verify_slice(&given).is_ok(),
            Err(_) => false,
        },
    };
    if good { Ok(()) } else { Err(no("the signature does not match")) }
}

/// The six digits of RFC 6238 (SHA-1, steps of 30 seconds) for a step.
pub fn totp(seed: &[u8], step: u64) -> Result<String> {
    let digest = mac::<Hmac<Sha1>>(seed, &step.to_be_bytes())?.finalize().into_bytes();
    let at = usize::from(digest[19] & 0xf);
    let word = digest.get(at..at + 4).and_then(|w| <[u8; 4]>::try_from(w).ok()).unwrap_or_default();
    Ok(format!("{:06}", (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000))
}

/// Base32 of RFC 4648, with or without padding; none when it is not.
pub fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut have) = (Vec::new(), 0_u32, 0_u32);
    for c in text.trim_end_matches('=').bytes() {
        let value = match c.to_ascii_uppercase() {
            c @ b'A'..=b'Z' => c - b'A',
            c @ b'2'..=b'7' => c - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5) | u32::from(value);
        have += 5;
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from((bits >> have) & 0xff).unwrap_or_default());
            bits &= (1 << have) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B (the last six of its eight digits).
    #[test]
    fn codes_of_the_rfc() {
        let seed = b"12345678901234567890";
        for (time, code) in [(59_u64, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(totp(seed, time / 30).unwrap(), code, "{time}");
        }
    }

    /// RFC 4648, section 10.
    #[test]
    fn base32_of_the_rfc() {
        for (text, bytes) in [("MY======", "f"), ("MZXW6", "foo"), ("mzxw6ytboi======", "foobar")] {
            assert_eq!(base32(text).unwrap(), bytes.as_bytes(), "{text}");
        }
        assert_eq!(base32("0189"), None);
    }

    /// The example "GET Object" of Amazon S3's documentation of version 4.
    #[test]
    fn the_documented_signature() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let text = "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n\
                    7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972";
        let signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        check_s3(secret, &STANDARD.encode(text), signature).unwrap();
        assert!(check_s3("another", &STANDARD.encode(text), signature).is_err());
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let names = "host;range;x-amz-content-sha256;x-amz-date";
        let header = format!(
            "{ALGORITHM} Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={names},Signature={signature}"
        );
        let headers = [
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", empty),
            ("x-amz-date", "20130524T000000Z"),
            ("authorization", &header),
        ];
        let request = Signed {
            signature: signature.into(),
            verb: "GET".into(),
            host: "examplebucket.s3.amazonaws.com".into(),
            path: "/test.txt".into(),
            headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            body_hash: empty.into(),
            ..Signed::default()
        };
        check_v4(secret, &request, &header).unwrap();
        assert!(check_v4("another", &request, &header).is_err());
        assert!(check_ec2(secret, &request).is_err(), "it is years old");
    }

    /// The example of S3's documentation of its first signature.
    #[test]
    fn the_first_signature_of_s3() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let text = "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg";
        check_s3(secret, &STANDARD.encode(text), "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=").unwrap();
        assert!(check_s3(secret, &STANDARD.encode(text), "qgk2+6Sv9/oM7G3qLEjTH1a1l1h=").is_err());
    }
}
