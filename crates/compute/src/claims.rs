//! Whose is what has an id, and what somebody who is no administrator may know of it.
//!
//! The services say it of what is there. The audit trail does not: members choose what stands in it, as names of key
//! pairs and ids of images. It says only what there was of one's own that is there no more.

use crate::table::group;
use api::Auth;
use base::Result;
use base::said::Told;
use store::change::Audience;
use store::{Sql, Tx};

/// Imports of images: the only work of members, besides that of servers, that has an id of its own.
const IMPORT: &str = "image_import";
/// What computes the checksums of an image has its id.
const CHECK: &str = "image_check";
/// What members have under ids that nobody chooses, besides what is of Network.
const OWNED: [&str; 6] = ["server", "server_group", "image", "application_credential", "credential", "trust"];

/// That somebody may know of something.
pub struct Claim {
    /// What it is, as the audit trail and the work engine call it.
    pub kind: &'static str,
    /// Whether it is there and his own: what is shared with him, or is gone, tells him less.
    pub own: bool,
}

impl Claim {
    /// Whether work of this kind under the same id is about it.
    pub fn is_about(&self, work: &str) -> bool {
        work == self.kind || (self.kind == "image" && work == CHECK)
    }
    /// How it is, and why.
    pub fn told(&self, tx: &Tx<'_>, auth: &Auth, id: &str) -> Result<Option<Told>> {
        match self.kind {
            "image" => image::why(tx, id, self.own),
            IMPORT => image::import_why(tx, id),
            "server_group" => of_group(tx, id),
            kind => network::why(tx, kind, id, auth.is_admin()),
        }
    }
}

fn of_group(tx: &Tx<'_>, id: &str) -> Result<Option<Told>> {
    let Some(g) = group::by_id(tx, id)? else { return Ok(None) };
    let servers = group::members(tx, &[g.id])?.remove(id).map_or(0, |all| all.len());
    let reason = format!("Servers in it: {servers}. Its policy is {}.", g.policy);
    Ok(Some(Told { name: Some(g.name), status: None, reason }))
}

/// What has this id, other than a server, for somebody who is no administrator; `None` when it is nothing to him.
pub fn find(tx: &Tx<'_>, auth: &Auth, id: &str) -> Result<Option<Claim>> {
    let known = there(tx, id)?;
    let mine =
        |a: &Audience| matches!(a, Audience::Projects(all) if all.first().is_some_and(|p| auth.sees(p)));
    let seen = |a: &Audience| match a {
        Audience::Everybody => true,
        Audience::Projects(all) => all.iter().any(|p| auth.sees(p)),
        Audience::User(_) | Audience::Operators => false,
    };
    if let Some((kind, _)) = known.iter().find(|(_, a)| mine(a)) {
        return Ok(Some(Claim { kind, own: true }));
    }
    if let Some((kind, _)) = known.iter().find(|(_, a)| seen(a)) {
        return Ok(Some(Claim { kind, own: false }));
    }
    if known.is_empty() { told(tx, auth, id) } else { Ok(None) }
}

/// What has this id, other than a server, for an administrator: what its work of this kind is about, if there is any.
/// Whoever makes an image chooses its id, so of two it is the other that is meant.
pub fn any(tx: &Tx<'_>, id: &str, work: Option<&str>) -> Result<Option<Claim>> {
    let mut all = there(tx, id)?.into_iter().map(|(kind, _)| Claim { kind, own: true });
    Ok(match work {
        Some(work) => all.find(|c| c.is_about(work)),
        None => all.next_back(),
    })
}

/// What there is with this id, and who may know of it: images first.
fn there(tx: &Tx<'_>, id: &str) -> Result<Vec<(&'static str, Audience)>> {
    let mut known = Vec::new();
    let image = image::audience(tx, id)?;
    known.extend(image.map(|a| ("image", a)));
    if known.is_empty() {
        let import = image::labels(tx, &[id.to_owned()])?.remove(id).and_then(|(_, project)| project);
        known.extend(import.map(|p| (IMPORT, Audience::Projects(vec![p]))));
    }
    let group = crate::audience(tx, "server_group", id)?;
    known.extend(group.map(|a| ("server_group", a)));
    for kind in network::kinds() {
        known.extend(network::audience(tx, kind, id)?.map(|a| (kind, a)));
    }
    Ok(known)
}

/// What the trail says that this was: what he or his project did to it tells no more than they know.
fn told(tx: &Tx<'_>, auth: &Auth, id: &str) -> Result<Option<Claim>> {
    let mut q = Sql::new("SELECT DISTINCT action FROM audit WHERE target = ");
    q.bind(id);
    own_rows(&mut q, auth);
    let actions = q.rows(tx, |r| r.get::<String>(0))?;
    let kind = OWNED
        .into_iter()
        .chain(network::kinds())
        .find(|kind| actions.iter().any(|a| a.split_once('.').is_some_and(|(noun, _)| noun == *kind)));
    Ok(kind.map(|kind| Claim { kind, own: false }))
}

/// Leaves of the audit trail what the caller's project did, and what he did himself.
pub fn own_rows(q: &mut Sql, auth: &Auth) {
    let project = auth.project().ok().map(|p| p.as_str());
    q.push(" AND (project_id = ").bind(project).push(" OR user_id = ").bind(auth.user.id.as_str()).push(")");
}
