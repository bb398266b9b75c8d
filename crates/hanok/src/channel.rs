//! The region's side of TLS: its certificate authority, which all its processes take from the database, and
//! what it shows on the one port.

use crate::config::Config;
use crate::say;
use base::{Fault, HostId, Micros, Result};
use identity::Identity;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{Db, params};
use tls::{Authority, Files, Front};

/// What a region that speaks TLS has.
#[derive(Clone)]
pub struct Channel {
    pub authority: Arc<Authority>,
    pub front: Arc<Front>,
}

/// `None` for a region that speaks plain HTTP.
///
/// # Errors
/// `BadRequest` for a configured certificate that cannot be used.
pub async fn open(config: &Config, db: &Db, identity: &Identity) -> Result<Option<Channel>> {
    if !config.secure() {
        return Ok(None);
    }
    let files = match (&config.tls_cert, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(Files { certificate: certificate.clone(), key: key.clone() }),
        (None, None) => None,
        _ => return Err(Fault::bad_request("tls_cert and tls_key are set together, or neither.")),
    };
    let authority = Arc::new(authority(config, db, identity).await?);
    let file = config.data.join("ca.pem");
    tls::write_private(&file, authority.pem().as_bytes())?;
    // Everybody may know whom to trust.
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let front = Arc::new(Front::new(authority.clone(), names(config), files)?);
    Ok(Some(Channel { authority, front }))
}

/// The authority in the database, made at the first start of the first process.
async fn authority(config: &Config, db: &Db, identity: &Identity) -> Result<Authority> {
    let (certificate, sealed) = match stored(db).await? {
        Some(there) => there,
        None => {
            let (certificate, key) = Authority::make()?;
            let sealed = identity.seal(&key);
            db.write(move |tx| {
                tx.exec(
                    "INSERT INTO authority (id, certificate, sealed_key, created_at) VALUES (1, $1, $2, $3)
                     ON CONFLICT (id) DO NOTHING",
                    params![certificate, sealed, Micros::now()],
                )
            })
            .await?;
            // Another process may have been first.
            stored(db).await?.ok_or_else(|| Fault::internal("the authority is not in the database"))?
        }
    };
    let life = Duration::from_secs(config.certificate_s.max(1));
    Authority::open(&certificate, &identity.unseal(&sealed)?, life)
}

async fn stored(db: &Db) -> Result<Option<(String, String)>> {
    let sql = "SELECT certificate, sealed_key FROM authority WHERE id = 1";
    db.read(move |tx| tx.opt(sql, &[], |r| Ok((r.get(0)?, r.get(1)?)))).await
}

/// The fingerprint that join tokens carry; `None` for a region that speaks plain HTTP.
pub async fn fingerprint(config: &Config, db: &Db) -> Result<Option<String>> {
    if !config.secure() {
        return Ok(None);
    }
    let identity =
        Identity::open(db.clone(), &config.data.join("master-key"), config.identity.clone()).await?;
    Ok(Some(authority(config, db, &identity).await?.fingerprint()))
}

/// By what else people reach us: the machine's name, and what they are told.
fn names(config: &Config) -> Vec<String> {
    let public = config.public_url.as_deref().and_then(|u| u.parse::<http::Uri>().ok());
    let public = public.and_then(|u| u.host().map(|h| h.trim_matches(['[', ']']).to_owned()));
    let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let good = |n: &String| tls::server_name(n).is_ok();
    [public, Some(own)].into_iter().flatten().filter(good).collect()
}

/// What this machine shows as a host of the region that runs on it. The key is kept, the certificate is new at
/// each start. Answers with the hash that the region knows it by.
pub fn own_keys(channel: &Channel, host: HostId, data: &Path) -> Result<(agent::keys::Keys, String)> {
    let file = data.join("host-key.pem");
    let key = match std::fs::read_to_string(&file) {
        Ok(key) => key,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let key = tls::new_key()?;
            tls::write_private(&file, key.as_bytes())?;
            key
        }
        Err(e) => return Err(e.into()),
    };
    let public = tls::public_key(&key)?;
    let certificate = compute::certificate(Some(&channel.authority), host, &public)?;
    let proof = tls::proof_of(&public)?;
    Ok((agent::keys::Keys { key, certificate, data: None }, proof))
}

/// Says once what people have to trust.
pub fn tell(config: &Config) {
    if config.secure() && config.tls_cert.is_none() {
        say::out(&format!("  certificate authority: {}", config.data.join("ca.pem").display()));
    }
}
