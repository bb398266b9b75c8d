//! When a certificate ends: as much of X.509 (RFC 5280, 4.1) as that takes.

use base::Micros;
use base64::Engine;

/// The end of the first certificate of a PEM file; `None` when there is none that can be read.
pub fn expiry(pem: &[u8]) -> Option<Micros> {
    let text = std::str::from_utf8(pem).ok()?;
    let body = text.split("-----BEGIN CERTIFICATE-----").nth(1)?.split("-----END").next()?;
    let packed: String = body.split_whitespace().collect();
    not_after(&base64::engine::general_purpose::STANDARD.decode(packed).ok()?)
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT Version`, which old certificates do not have.
const VERSION: u8 = 0xa0;

fn not_after(der: &[u8]) -> Option<Micros> {
    let (certificate, _) = inside(der, SEQUENCE)?;
    let (mut rest, _) = inside(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = item(rest)?.2;
    }
    // Serial number, signature, issuer; then the validity.
    for _ in 0..3 {
        rest = item(rest)?.2;
    }
    let (validity, _) = inside(rest, SEQUENCE)?;
    let (_, _, rest) = item(validity)?;
    let (tag, text, _) = item(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// `261121034500Z`, or with the whole year.
fn time(tag: u8, text: &str) -> Option<Micros> {
    let text = match tag {
        // RFC 5280, 4.1.2.5.1: from 50 on it is the last century.
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |a: usize, b: usize| text.get(a..b);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    Micros::parse(&format!("{year}-{month}-{day}T{}:{}:{}Z", part(8, 10)?, part(10, 12)?, part(12, 14)?))
}

/// The content of an item that must have this tag, and what follows it.
fn inside(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = item(der)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content and rest.
fn item(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        n if n < 0x80 => (usize::from(n), rest),
        // No certificate is longer than four bytes can say.
        n if (0x81..=0x84).contains(&n) => {
            let (bytes, rest) = rest.split_at_checked(usize::from(n - 0x80))?;
            (bytes.iter().fold(0, |all, b| all << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
