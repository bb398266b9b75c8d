//! Who may know that something of Compute changed.

use base::Result;
use store::change::Audience;
use store::{Tx, params};

/// Whoever may know of a change to what has this id; `None` when it is no more, or of no kind of ours. A deleted
/// server is remembered for a while.
pub fn audience(tx: &Tx<'_>, kind: &str, id: &str) -> Result<Option<Audience>> {
    let sql = match kind {
        "server" => "SELECT project_id FROM server WHERE id = $1",
        "server_group" => "SELECT project_id FROM server_group WHERE id = $1",
        "flavor" => return flavor(tx, id),
        "quota" => return Ok(Some(Audience::Projects(vec![id.to_owned()]))),
        _ => return Ok(None),
    };
    let owner = tx.opt(sql, params![id], |r| r.get::<String>(0))?;
    Ok(owner.map(|p| Audience::Projects(vec![p])))
}

/// A flavor that not everybody may use is for those who may, and for administrators.
fn flavor(tx: &Tx<'_>, id: &str) -> Result<Option<Audience>> {
    let public = tx.opt("SELECT is_public FROM flavor WHERE id = $1", params![id], |r| r.get::<bool>(0))?;
    let Some(public) = public else { return Ok(None) };
    if public {
        return Ok(Some(Audience::Everybody));
    }
    let sql = "SELECT project_id FROM flavor_access WHERE flavor_id = $1";
    Ok(Some(Audience::Projects(tx.rows(sql, params![id], |r| r.get(0))?)))
}
