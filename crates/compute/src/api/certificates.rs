//! Key pairs of the type `x509`: certificates that Windows guests log a user in by.
//!
//! They are made by `openssl`, for the reason that SSH keys are made by `ssh-keygen`: writing private keys is no
//! place for a format writer of ours.

use super::keys::{Pair, make};
use base::{Fault, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use tokio::process::Command;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// SHA-1 of the certificate, in pairs with colons, as `openssl x509 -fingerprint` prints it.
///
/// # Errors
/// 400 when it is no certificate in PEM.
pub fn fingerprint(pem: &str) -> Result<String> {
    let bad = || Fault::bad_request("Keypair data is invalid: failed to generate X509 fingerprint");
    let body = pem.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).ok_or_else(bad)?.0;
    let der = STANDARD.decode(body.split_whitespace().collect::<String>()).map_err(|_| bad())?;
    // A certificate is one DER sequence, and nothing after it (X.690, 8.1.3).
    let length = match der.get(1..4).ok_or_else(bad)? {
        [0x82, high, low] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        [0x81, length, _] => 3 + usize::from(*length),
        _ => return Err(bad()),
    };
    if der.first() != Some(&0x30) || der.len() != length {
        return Err(bad());
    }
    let pairs: Vec<String> = Sha1::digest(&der).iter().map(|b| format!("{b:02x}")).collect();
    Ok(pairs.join(":"))
}

/// Makes a certificate for client authentication, signed by its own key, for ten years.
///
/// # Errors
/// `Unavailable` when there is no `openssl`.
pub async fn generate(user: &str) -> Result<Pair> {
    let dir = tempfile::tempdir()?;
    let (key, cert) = (dir.path().join("key"), dir.path().join("cert"));
    let name: String =
        user.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect();
    let mut maker = Command::new("openssl");
    maker
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-batch"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "extendedKeyUsage=clientAuth"])
        .args(["-addext", &format!("subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:{name}@localhost")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert);
    let made = make(maker).await.map_err(|e| {
        Fault::unavailable(
            "Certificates cannot be made here because openssl is not installed on the region (Debian: openssl). Make \
             one yourself and import it.",
        )
        .because(e)
    })?;
    if !made.status.success() {
        return Err(Fault::internal(String::from_utf8_lossy(&made.stderr)));
    }
    Ok(Pair {
        private: tokio::fs::read_to_string(&key).await?,
        public: tokio::fs::read_to_string(&cert).await?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn makes_certificates_that_it_can_read() {
        let pair = generate("some user/../x").await.unwrap();
        assert!(pair.private.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(fingerprint(&pair.public).unwrap().len(), 59);
        for bad in
            ["", "ssh-rsa AAAA", &pair.public.replace("MII", "AAA"), &pair.public.replace("\n", "")[..200]]
        {
            assert!(fingerprint(bad).is_err(), "{bad}");
        }
    }
}
