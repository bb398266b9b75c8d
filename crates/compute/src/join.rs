//! Hosts that join: invitations, and taking a host in.
//!
//! Invariants: an invitation is good once and until it expires, whoever asks at the same time; only its hash
//! is kept. A host that is invited by a name that there is gets a new identity under its old id, and the
//! old identity is worth nothing from then on. Nobody joins over servers whose disks are gone.

use crate::hosts::{admit, token_hash};
use crate::table::host;
use crate::table::join_token::{self, JoinToken};
use base::doc::{Certificate, Join, Joined};
use base::{Fault, HostId, Micros, Result, ServerId};
use rand::distr::{Alphanumeric, SampleString};
use std::time::Duration;
use store::{Tx, params};
use tls::Authority;

/// How long an invitation may be good at most.
pub const LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Invitations that have expired are still explained for so long.
const REMEMBER: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far the clocks of region and host may be apart: certificates and reports are judged by them.
const CLOCKS_APART: Duration = Duration::from_secs(60);
const ZONE: &str = "nova";

/// Whom an invitation is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invitation {
    /// A host that there is gets a new identity; else the new host is called so. `None`: it says its name.
    pub name: Option<String>,
    pub zone: Option<String>,
    pub life: Duration,
}

/// A new invitation. The secret is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    pub id: String,
    pub secret: String,
    pub expires_at: Micros,
}

/// Makes an invitation.
///
/// # Errors
/// `BadRequest` for a life of nothing or more than 30 days, and names that no host has.
pub fn invite(tx: &Tx<'_>, wish: &Invitation) -> Result<Invited> {
    if wish.life.is_zero() || wish.life > LIFE_MAX {
        return Err(Fault::bad_request("A join token may be good for 1 second to 30 days."));
    }
    wish.name.as_deref().map_or(Ok(()), good_name)?;
    wish.zone.as_deref().map_or(Ok(()), good_zone)?;
    let now = Micros::now();
    let secret = Alphanumeric.sample_string(&mut rand::rng(), 32);
    let token = JoinToken {
        id: uuid::Uuid::new_v4().to_string(),
        host_name: wish.name.clone().unwrap_or_default(),
        zone: wish.zone.clone().unwrap_or_default(),
        created_at: now,
        expires_at: now.plus(wish.life),
        used_at: None,
        host: None,
        proof: String::new(),
    };
    join_token::purge(tx, Micros(now.0 - i64::try_from(REMEMBER.as_micros()).unwrap_or(0)))?;
    join_token::insert(tx, &token, &token_hash(&secret))?;
    Ok(Invited { id: token.id, secret, expires_at: token.expires_at })
}

/// Takes a host in.
///
/// # Errors
/// `Unauthorized` for an invitation that is unknown, expired or used; `Conflict` for a name that another
/// host has, and for a host whose servers' disks are not on it; `BadRequest` when clocks differ.
pub fn join(tx: &Tx<'_>, secret: &str, wish: &Join, authority: Option<&Authority>) -> Result<Joined> {
    let token = join_token::by_secret_hash(tx, &token_hash(secret))?.ok_or_else(|| {
        refused("This join token is not known here. Make a new one: hanok admin join-token")
    })?;
    if wish.proof.len() != 64 || !wish.proof.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Fault::bad_request("The proof is no SHA-256 in hexadecimal."));
    }
    if !wish.public_key.is_empty() && tls::proof_of(&wish.public_key)? != wish.proof {
        return Err(Fault::bad_request("The proof is not that of the public key."));
    }
    if token.used_at.is_some() && token.proof == wish.proof {
        return answer(tx, token.host, wish, authority);
    }
    let now = Micros::now();
    if token.expires_at <= now {
        return Err(refused(&format!(
            "This join token has expired at {}. Make a new one: hanok admin join-token",
            token.expires_at.seconds_z()
        )));
    }
    clocks_agree(wish.at, now)?;
    if !join_token::spend(tx, &token.id, &wish.proof)? {
        return Err(refused(
            "This join token has been used already, and each is good once. Make a new one: hanok admin join-token",
        ));
    }
    let host = take_in(tx, &token, wish)?;
    join_token::used_by(tx, &token.id, host)?;
    answer(tx, Some(host), wish, authority)
}

fn refused(words: &str) -> Fault {
    Fault { message: words.to_owned(), ..Fault::unauthorized() }
}

/// The answer to who has joined.
fn answer(tx: &Tx<'_>, host: Option<HostId>, wish: &Join, authority: Option<&Authority>) -> Result<Joined> {
    let host = host.map(|h| host::by_id(tx, h)).transpose()?.flatten();
    let host = host.ok_or_else(|| refused("The host that joined with this token was removed since."))?;
    let certificate = match wish.public_key.as_str() {
        "" => None,
        key => Some(certificate(authority, host.id, key)?),
    };
    Ok(Joined { host: host.id, name: host.name, zone: host.zone, at: Micros::now(), certificate })
}

/// A certificate for a host's key.
///
/// # Errors
/// `BadRequest` where the region speaks no TLS and so has nothing to sign with.
pub fn certificate(authority: Option<&Authority>, host: HostId, public_key: &str) -> Result<Certificate> {
    let authority = authority.ok_or_else(|| {
        Fault::bad_request(
            "This region speaks no TLS itself, and gives hosts a token in place of a certificate.",
        )
    })?;
    let now = Micros::now();
    Ok(Certificate {
        certificate: authority.host_certificate(host, public_key)?,
        authority: authority.pem().to_owned(),
        renew_at: now.plus(authority.life() * 2 / 3),
        expires_at: now.plus(authority.life()),
    })
}

/// A join token as people hand it on: with the fingerprint of the authority that the host is to trust.
pub fn with_fingerprint(secret: &str, fingerprint: Option<String>) -> String {
    fingerprint.map_or_else(|| secret.to_owned(), |f| format!("{secret}.{f}"))
}

fn clocks_agree(theirs: Micros, ours: Micros) -> Result<()> {
    let (apart, way) =
        if theirs > ours { (theirs.since(ours), "ahead of") } else { (ours.since(theirs), "behind") };
    if apart <= CLOCKS_APART {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "The clock of this computer is {} s {way} the region's, where it is {}. Set it (for instance: apt-get install \
         chrony, or date -u -s '{}'), then join again; the token is still good.",
        apart.as_secs(),
        ours.seconds_z(),
        ours.seconds_z()
    )))
}

fn take_in(tx: &Tx<'_>, token: &JoinToken, wish: &Join) -> Result<HostId> {
    let name = if token.host_name.is_empty() { &wish.name } else { &token.host_name };
    good_name(name)?;
    let zone = Some(&token.zone).filter(|z| !z.is_empty());
    match host::by_name(tx, name)? {
        None => {
            let id = HostId::new();
            admit(tx, id, name, &wish.proof, zone.map_or(ZONE, String::as_str))?;
            Ok(id)
        }
        Some(_) if token.host_name.is_empty() => Err(Fault::conflict(format!(
            "Another host is named {name:?} already. Give this one another name with --name; or, if it is that \
             host, installed anew, make a token for it: hanok admin join-token --name {name}"
        ))),
        Some(old) => {
            nothing_lost(tx, &old, &wish.guests)?;
            let home: String =
                tx.one("SELECT home_zone FROM host WHERE id = $1", params![old.id], |r| r.get(0))?;
            admit(tx, old.id, name, &wish.proof, zone.unwrap_or(&home))?;
            // It begins anew, and may not hold the last document any more.
            tx.exec("UPDATE host SET applied = 0 WHERE id = $1", params![old.id])?;
            store::host::touch(tx, old.id)?;
            Ok(old.id)
        }
    }
}

/// A host that was installed anew would make empty disks for the servers that it had.
fn nothing_lost(tx: &Tx<'_>, old: &host::Host, kept: &[ServerId]) -> Result<()> {
    let sql = "SELECT id FROM server WHERE host_id = $1 AND deleted_at IS NULL ORDER BY id";
    let there: Vec<ServerId> = tx.rows(sql, params![old.id], |r| r.get(0))?;
    let lost: Vec<_> = there.iter().filter(|id| !kept.contains(id)).map(ToString::to_string).collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Fault::conflict(format!(
        "{} of the servers of the host {} have no disk on this computer: {}. Evacuate or delete them first, or bring \
         back the old data directory; then make a new token.",
        lost.len(),
        old.name,
        lost.join(", ")
    )))
}

/// # Errors
/// `BadRequest` for what is no name of a host.
pub fn good_name(name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if (1..=253).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "{name:?} is no name for a host: letters, digits, dots, hyphens and underscores, at most 253."
    )))
}

/// # Errors
/// `BadRequest` for what is no name of a pod, which has the form of a host's.
pub fn good_pod(pod: &str) -> Result<()> {
    good_name(pod).map_err(|_| {
        Fault::bad_request(format!(
            "{pod:?} is no name for a pod: letters, digits, dots, hyphens and underscores, at most 253."
        ))
    })
}

/// # Errors
/// `BadRequest` for what is no name of a zone.
pub fn good_zone(zone: &str) -> Result<()> {
    let good = |c: char| !c.is_control() && c != ':' && c != '/';
    if !zone.trim().is_empty() && zone.chars().count() <= 255 && zone.chars().all(good) {
        return Ok(());
    }
    Err(Fault::bad_request(format!("{zone:?} is no name for an availability zone.")))
}
