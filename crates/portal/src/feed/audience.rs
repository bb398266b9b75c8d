//! Who may know of which change.

use super::Line;
use ::api::{Auth, Level, Scope};
use base::Result;
use serde_json::json;
use store::Tx;
use store::change::{Audience, Change, EVERYBODY, What};

/// What somebody who watches may know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    everything: bool,
    project: Option<String>,
    user: String,
}

impl Viewer {
    /// An administrator hears of everything, as he sees everything; so does a reader of the system.
    pub fn of(auth: &Auth) -> Viewer {
        let system = auth.scope == Scope::System && auth.level >= Level::Reader;
        Viewer {
            everything: auth.is_admin() || system,
            project: auth.project().ok().map(|p| p.0.clone()),
            user: auth.user.id.0.clone(),
        }
    }

    pub fn sees(&self, audience: &Audience) -> bool {
        self.everything
            || match audience {
                Audience::Everybody => true,
                Audience::Projects(all) => self.project.as_ref().is_some_and(|p| all.contains(p)),
                Audience::User(id) => *id == self.user,
                Audience::Operators => false,
            }
    }
}

/// The line of a change.
pub fn line(tx: &Tx<'_>, c: &Change) -> Result<Line> {
    let audience = audience(tx, c)?;
    let project = match &audience {
        Audience::Projects(all) => all.first(),
        _ => None,
    };
    let text =
        json!({"kind": c.kind, "id": c.id, "project_id": project, "what": c.what.as_str()}).to_string();
    Ok(Line { audience, text })
}

/// Of what is there its service says it; of what is gone whoever deleted it said whose it was.
fn audience(tx: &Tx<'_>, c: &Change) -> Result<Audience> {
    if let Some(owner) = &c.owner {
        if c.kind == "keypair" {
            return Ok(Audience::User(owner.clone()));
        }
        if owner == EVERYBODY {
            return Ok(Audience::Everybody);
        }
        if c.what == What::Deleted {
            return Ok(Audience::Projects(vec![owner.clone()]));
        }
    }
    let found = match c.kind.as_str() {
        "image" => image::audience(tx, &c.id)?,
        "server" | "server_group" | "flavor" | "quota" => compute::audience(tx, &c.kind, &c.id)?,
        "event" | "rack" | "host" | "join_token" | "fleet" | "aggregate" | "machine" => {
            Some(Audience::Operators)
        }
        kind => match network::audience(tx, kind, &c.id)? {
            None => identity::audience(tx, kind, &c.id)?,
            found => found,
        },
    };
    Ok(found.unwrap_or_else(|| gone(c)))
}

/// Of what is no more, and of which nobody said whose it was: mostly whoever deletes something does so in its project.
fn gone(c: &Change) -> Audience {
    let own = ["server_group", "application_credential", "credential", "trust", "auto_allocated_topology"];
    match c.owner.as_ref().or(c.by.as_ref().filter(|_| own.contains(&c.kind.as_str()))) {
        Some(project) => Audience::Projects(vec![project.clone()]),
        None if c.kind == "flavor" => Audience::Everybody,
        None => Audience::Operators,
    }
}
