//! What the API wants of a server, beside power and deletion (see [`super::server`]).

use crate::model::{Password, Rescue, Resize};
use base::{Micros, Result, ServerId};
use store::{Tx, params};

pub fn pause(tx: &Tx<'_>, id: ServerId, paused: bool) -> Result<()> {
    tx.exec("UPDATE server SET want_paused = $2 WHERE id = $1", params![id, paused]).map(drop)
}

pub fn suspend(tx: &Tx<'_>, id: ServerId, suspended: bool) -> Result<()> {
    tx.exec("UPDATE server SET want_suspended = $2 WHERE id = $1", params![id, suspended]).map(drop)
}

/// Paused and suspended end with a stop or a fresh start.
pub fn awake(tx: &Tx<'_>, id: ServerId) -> Result<()> {
    tx.exec("UPDATE server SET want_paused = 0, want_suspended = 0 WHERE id = $1", params![id]).map(drop)
}

pub fn rescue(tx: &Tx<'_>, id: ServerId, rescue: Option<&Rescue>) -> Result<()> {
    let text = rescue.map(serde_json::to_string).transpose()?;
    tx.exec("UPDATE server SET rescue = $2 WHERE id = $1", params![id, text]).map(drop)
}

pub fn resize(tx: &Tx<'_>, id: ServerId, resize: Option<&Resize>) -> Result<()> {
    let text = resize.map(serde_json::to_string).transpose()?;
    tx.exec("UPDATE server SET resize = $2 WHERE id = $1", params![id, text]).map(drop)
}

/// Asks for a password; `before` is what was asked for last.
pub fn password(tx: &Tx<'_>, id: ServerId, before: Option<&Password>, value: &str) -> Result<()> {
    let epoch = before.map_or(0, |p| p.epoch) + 1;
    let text = serde_json::to_string(&Password { epoch, value: Some(value.to_owned()) })?;
    tx.exec("UPDATE server SET password = $2 WHERE id = $1", params![id, text]).map(drop)
}

/// The password has arrived, or will not: its text goes, its number stays.
pub fn password_done(tx: &Tx<'_>, id: ServerId) -> Result<()> {
    let text =
        tx.one("SELECT password FROM server WHERE id = $1", params![id], |r| r.get::<Option<String>>(0))?;
    let Some(text) = text else { return Ok(()) };
    let done = Password { value: None, ..serde_json::from_str(&text)? };
    tx.exec("UPDATE server SET password = $2 WHERE id = $1", params![id, serde_json::to_string(&done)?])
        .map(drop)
}

pub fn interrupt(tx: &Tx<'_>, id: ServerId) -> Result<()> {
    tx.exec("UPDATE server SET nmi = nmi + 1 WHERE id = $1", params![id]).map(drop)
}

/// Deletion that can be taken back, or taking it back.
pub fn soft_delete(tx: &Tx<'_>, id: ServerId, at: Option<Micros>) -> Result<()> {
    tx.exec("UPDATE server SET soft_deleted_at = $2 WHERE id = $1", params![id, at]).map(drop)
}
