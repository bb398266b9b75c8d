//! SSH keys: reading public ones, making pairs.
//!
//! Pairs are made by OpenSSH's own `ssh-keygen`: making private keys is no place for a format writer of
//! ours, and it is wherever keys are used.

use base::{Fault, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use std::process::Output;
use tokio::process::Command;
use tokio::sync::Semaphore;

/// Pairs that are made at the same time; making one keeps a processor busy.
pub(crate) static MAKERS: Semaphore = Semaphore::const_new(2);

/// A fresh pair.
pub struct Pair {
    pub public: String,
    /// In OpenSSH's format.
    pub private: String,
}

/// MD5 of the key's blob, as `ssh-keygen -E md5 -l` prints it.
///
/// # Errors
/// 400 when it is no public key in OpenSSH's one-line format.
pub fn fingerprint(public: &str) -> Result<String> {
    let bad = || Fault::bad_request("Keypair data is invalid: failed to generate fingerprint");
    let mut parts = public.split_whitespace();
    let (kind, blob) = (parts.next().ok_or_else(bad)?, parts.next().ok_or_else(bad)?);
    let blob = STANDARD.decode(blob).map_err(|_| bad())?;
    // The blob begins with the length and the text of its own type.
    let length = blob.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes).ok_or_else(bad)?;
    let named = usize::try_from(length).ok().and_then(|n| blob.get(4..4 + n)).ok_or_else(bad)?;
    if named != kind.as_bytes() || blob.len() <= 4 + named.len() {
        return Err(bad());
    }
    let pairs: Vec<String> = Md5::digest(&blob).iter().map(|b| format!("{b:02x}")).collect();
    Ok(pairs.join(":"))
}

/// Makes an Ed25519 pair.
///
/// # Errors
/// `Unavailable` when there is no `ssh-keygen`.
pub async fn generate() -> Result<Pair> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("key");
    let mut maker = Command::new("ssh-keygen");
    maker.args(["-q", "-t", "ed25519", "-N", "", "-C", "Generated-by-Hanok", "-f"]).arg(&file);
    let made = make(maker).await.map_err(|e| {
        Fault::unavailable(
            "Key pairs cannot be made here because ssh-keygen is not installed on the region (Debian: \
             openssh-client). Make one yourself and import its public key.",
        )
        .because(e)
    })?;
    if !made.status.success() {
        return Err(Fault::internal(String::from_utf8_lossy(&made.stderr)));
    }
    Ok(Pair {
        private: tokio::fs::read_to_string(&file).await?,
        public: tokio::fs::read_to_string(file.with_extension("pub")).await?.trim().to_owned(),
    })
}

/// Runs what makes a pair when it is its turn; it ends with who asked for it.
pub async fn make(mut maker: Command) -> std::io::Result<Output> {
    let _turn = MAKERS.acquire().await.map_err(std::io::Error::other)?;
    maker.kill_on_drop(true).output().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints() {
        // ssh-keygen -E md5 -lf
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEiLYZ8yQ1hmF4gyC6UpYuC4B1nVuSJ0bVG7C3qWl0Pk a@b";
        let print = fingerprint(key).unwrap();
        assert_eq!(print.len(), 47);
        for bad in ["", "ssh-rsa", "ssh-rsa AAAA", "ssh-rsa ????", &key.replace("ssh-ed25519", "ssh-rsa")] {
            assert!(fingerprint(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn makes_pairs_that_it_can_read() {
        let pair = generate().await.unwrap();
        assert!(pair.private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
        fingerprint(&pair.public).unwrap();
    }
}
