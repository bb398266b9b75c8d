//! Rack controllers that join: as hosts do, with an invitation that is good once.

use crate::table::{rack, rack_token, token};
use crate::token_hash;
use base::doc::rack::RackJoined;
use base::doc::{Certificate, Join};
use base::{Fault, HostId, Micros, RackId, Result};
use rack_token::RackToken;
use std::time::Duration;
use store::Tx;
use tls::Authority;

/// How long an invitation may be good at most.
pub const LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Invitations that have expired are still explained for so long.
const REMEMBER: Duration = Duration::from_secs(7 * 24 * 3600);
/// A rack that has not reported for so long is silent. It reports every few seconds.
const SILENT: Duration = Duration::from_secs(60);

/// Whether a rack that was heard last at this time has been silent for too long.
pub fn is_silent(seen_at: Micros) -> bool {
    Micros::now().since(seen_at) > SILENT
}

/// A new invitation. The secret is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    pub id: String,
    pub secret: String,
    pub expires_at: Micros,
}

/// Makes an invitation; a rack of that name gets a new identity, else the new rack is called so.
///
/// # Errors
/// `BadRequest` for a life of nothing or more than 30 days, and names that no rack has.
pub fn invite(tx: &Tx<'_>, name: Option<&str>, life: Duration) -> Result<Invited> {
    if life.is_zero() || life > LIFE_MAX {
        return Err(Fault::bad_request("A rack token may be good for 1 second to 30 days."));
    }
    name.map_or(Ok(()), good_name)?;
    let (now, secret) = (Micros::now(), token::secret());
    let t = RackToken {
        id: uuid::Uuid::new_v4().to_string(),
        rack_name: name.unwrap_or_default().to_owned(),
        created_at: now,
        expires_at: now.plus(life),
        used_at: None,
        rack: None,
        proof: String::new(),
    };
    rack_token::purge(tx, now.minus(REMEMBER))?;
    rack_token::insert(tx, &t, &token_hash(&secret))?;
    Ok(Invited { id: t.id, secret, expires_at: t.expires_at })
}

/// Takes a rack in.
///
/// # Errors
/// `Unauthorized` for an invitation that is unknown, expired or used; `Conflict` for a name that another has.
pub fn join(tx: &Tx<'_>, secret: &str, wish: &Join, authority: Option<&Authority>) -> Result<RackJoined> {
    let refused = |words: &str| Fault {
        message: format!("{words} Make a new one: hanok admin rack-token"),
        ..Fault::unauthorized()
    };
    let t = rack_token::by_secret_hash(tx, &token_hash(secret))?
        .ok_or_else(|| refused("This rack token is not known here."))?;
    if wish.proof.len() != 64 || !wish.proof.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Fault::bad_request("The proof is no SHA-256 in hexadecimal."));
    }
    if !wish.public_key.is_empty() && tls::proof_of(&wish.public_key)? != wish.proof {
        return Err(Fault::bad_request("The proof is not that of the public key."));
    }
    if t.used_at.is_some() && t.proof == wish.proof {
        // The answer was lost on the way.
        return answer(tx, t.rack, wish, authority);
    }
    if t.expires_at <= Micros::now() {
        return Err(refused("This rack token has expired."));
    }
    if !rack_token::spend(tx, &t.id, &wish.proof)? {
        return Err(refused("This rack token has been used already, and each is good once."));
    }
    let name = if t.rack_name.is_empty() { &wish.name } else { &t.rack_name };
    good_name(name)?;
    let there = rack::all(tx)?.into_iter().find(|r| r.name == *name);
    let id = match there {
        Some(_) if t.rack_name.is_empty() => {
            return Err(Fault::conflict(format!(
                "Another rack is named {name:?} already. Give this one another name with --name; or, if it is that \
                 rack, installed anew, make a token for it: hanok admin rack-token --name {name}"
            )));
        }
        Some(old) => {
            // It begins anew, and may not hold the last document any more.
            tx.exec("UPDATE rack SET applied = 0, digest = '' WHERE id = $1", store::params![old.id])?;
            old.id
        }
        None => RackId::new(),
    };
    rack::admit(tx, id, name, &wish.proof)?;
    rack_token::used_by(tx, &t.id, id)?;
    answer(tx, Some(id), wish, authority)
}

fn answer(tx: &Tx<'_>, id: Option<RackId>, wish: &Join, authority: Option<&Authority>) -> Result<RackJoined> {
    let known = id.map(|id| rack::by_id(tx, id)).transpose()?.flatten();
    let known = known.ok_or_else(Fault::unauthorized)?;
    let certificate = match wish.public_key.as_str() {
        "" => None,
        key => Some(certificate(authority, known.id, key)?),
    };
    Ok(RackJoined { rack: known.id, name: known.name, certificate })
}

/// A certificate for a rack's key.
///
/// # Errors
/// `BadRequest` where the region speaks no TLS and so has nothing to sign with.
pub fn certificate(authority: Option<&Authority>, id: RackId, public_key: &str) -> Result<Certificate> {
    let authority = authority.ok_or_else(|| {
        Fault::bad_request(
            "This region speaks no TLS itself, and gives racks a token in place of a certificate.",
        )
    })?;
    let now = Micros::now();
    Ok(Certificate {
        // The region knows who shows it by the key's hash; the name in it is for people.
        certificate: authority.host_certificate(HostId(id.0), public_key)?,
        authority: authority.pem().to_owned(),
        renew_at: now.plus(authority.life() * 2 / 3),
        expires_at: now.plus(authority.life()),
    })
}

fn good_name(name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if (1..=253).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "{name:?} is no name for a rack: letters, digits, dots, hyphens and underscores, at most 253."
    )))
}
