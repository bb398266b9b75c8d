//! What changed, told to whoever watches: a [`Change`] goes with the transaction that made it, as its hints do.
//!
//! Nothing is written for it, so it costs those who write nothing. The price: changes may be missed (a process
//! that starts, a connection to the database that breaks), which is always told ([`crate::Topic::Missed`]), and
//! whoever watches then looks at everything again.

use crate::{Topic, Tx};
use std::sync::Arc;

/// Changes of one transaction that are told one by one; more are told as "many".
const MOST: usize = 256;
/// The kind of a change that stands for more than can be told.
const MANY: &str = "*";

/// The owner of what everybody may see.
pub const EVERYBODY: &str = "*";

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Updated,
    Created,
    Deleted,
}

impl What {
    pub fn as_str(self) -> &'static str {
        match self {
            What::Updated => "updated",
            What::Created => "created",
            What::Deleted => "deleted",
        }
    }

    fn of(text: &str) -> Option<What> {
        [What::Updated, What::Created, What::Deleted].into_iter().find(|w| w.as_str() == text)
    }
}

/// Who may know that a resource changed. The services say it of their own kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    Everybody,
    /// The first is whose it is.
    Projects(Vec<String>),
    User(String),
    /// Administrators and readers of the system, who hear of everything.
    Operators,
}

/// A resource that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Such as `server`: what the audit trail calls it.
    pub kind: String,
    pub id: String,
    pub what: What,
    /// Whose it is, where whoever changed it knew: a project, or [`EVERYBODY`]. What is still there can be asked.
    pub owner: Option<String>,
    /// The project of whoever asked for the change.
    pub by: Option<String>,
}

impl Change {
    pub fn new(kind: &str, id: &str, what: What) -> Change {
        Change { kind: kind.to_owned(), id: id.to_owned(), what, owner: None, by: None }
    }

    /// Whether this stands for more changes than can be told one by one.
    pub fn is_many(&self) -> bool {
        self.kind == MANY
    }

    /// Takes in what happened to the same thing later: only the sum is told.
    pub fn follow(&mut self, later: Change) {
        self.what = self.what.max(later.what);
        self.owner = later.owner.or(self.owner.take());
        self.by = later.by.or(self.by.take());
    }
}

/// Tells of a change, once the transaction is committed.
pub fn note(tx: &Tx<'_>, change: Change) {
    let mut hints = tx.hints.borrow_mut();
    let mut told = 0;
    for hint in hints.iter_mut() {
        let Topic::Change(known) = hint else { continue };
        if known.is_many() {
            return;
        }
        if known.kind == change.kind && known.id == change.id {
            return Arc::make_mut(known).follow(change);
        }
        told += 1;
    }
    if told < MOST {
        hints.push(Topic::Change(Arc::new(change)));
        return;
    }
    hints.retain(|h| !matches!(h, Topic::Change(_)));
    hints.push(Topic::Change(Arc::new(Change::new(MANY, "", What::Updated))));
}

/// Tells of a change to something whose project is known.
pub fn owned(tx: &Tx<'_>, kind: &str, id: &str, what: What, project: &str) {
    note(tx, Change { owner: Some(project.to_owned()), ..Change::new(kind, id, what) });
}

/// What an entry of the audit trail says of a resource; none for what changes nothing that can be seen.
pub(crate) fn of_audit(action: &str, target: &str, project: &str) -> Option<Change> {
    let (kind, deed) = action.split_once('.')?;
    if kind == "token" || deed.starts_with("console") {
        return None;
    }
    let what = match deed {
        "create" | "join" => What::Created,
        "delete" | "leave" => What::Deleted,
        _ => What::Updated,
    };
    let by = (!project.is_empty()).then(|| project.to_owned());
    Some(Change { by, ..Change::new(kind, target, what) })
}

/// As words of a hint, which hold neither blanks nor commas.
pub(crate) fn encode(c: &Change) -> String {
    let project = |p: &Option<String>| p.as_deref().map_or("-".to_owned(), |p| format!("={}", escape(p)));
    let (kind, id) = (escape(&c.kind), escape(&c.id));
    format!("change {} {kind} ={id} {} {}", c.what.as_str(), project(&c.owner), project(&c.by))
}

pub(crate) fn decode(text: &str) -> Option<Change> {
    let mut words = text.strip_prefix("change ")?.split(' ');
    let what = What::of(words.next()?)?;
    let kind = unescape(words.next()?)?;
    let id = unescape(words.next()?.strip_prefix('=')?)?;
    let mut project = || match words.next()?.strip_prefix('=') {
        Some(p) => unescape(p),
        None => None,
    };
    let (owner, by) = (project(), project());
    Some(Change { kind, id, what, owner, by })
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.:*".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02x}"));
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Db;

    #[test]
    fn travels_in_a_hint() {
        for change in [
            Change::new("keypair", "내 열쇠, 100% mine", What::Created),
            Change { owner: Some("p".into()), by: None, ..Change::new("port", "", What::Deleted) },
            Change { owner: None, by: Some("a b".into()), ..Change::new("*", "x", What::Updated) },
        ] {
            let words = encode(&change);
            assert!(!words.contains(','), "{words}");
            assert_eq!(decode(&words), Some(change));
        }
        for bad in [
            "",
            "work",
            "change",
            "change made a =b - -",
            "change updated a b - -",
            "change updated a =%f - -",
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_audit_trail_says_what_changed() {
        let what =
            |action: &str| of_audit(action, "x", "").map(|c| format!("{} {}", c.kind, c.what.as_str()));
        assert_eq!(what("server.create").as_deref(), Some("server created"));
        assert_eq!(what("host.leave").as_deref(), Some("host deleted"));
        assert_eq!(what("metadef.tag.create").as_deref(), Some("metadef updated"));
        assert_eq!(what("server.console.vnc"), None);
        assert_eq!(what("token.revoke"), None);
    }

    #[tokio::test]
    async fn a_transaction_tells_the_sum_of_its_changes() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::sqlite(&dir.path().join("db")).await.unwrap();
        let mut heard = db.changes();
        db.write(|tx| {
            note(tx, Change { by: Some("admin".into()), ..Change::new("port", "1", What::Created) });
            owned(tx, "port", "1", What::Updated, "p");
            Ok(())
        })
        .await
        .unwrap();
        let Topic::Change(one) = heard.try_recv().unwrap() else { panic!("another hint") };
        assert_eq!(
            (one.what, one.owner.as_deref(), one.by.as_deref()),
            (What::Created, Some("p"), Some("admin"))
        );
        let failed = db.write(|tx| -> base::Result<()> {
            owned(tx, "port", "2", What::Created, "p");
            Err(base::Fault::conflict("no"))
        });
        assert!(failed.await.is_err());
        assert!(heard.try_recv().is_err(), "what was undone did not change");
        db.write(|tx| {
            (0..MOST + 2).for_each(|i| owned(tx, "port", &i.to_string(), What::Updated, "p"));
            Ok(())
        })
        .await
        .unwrap();
        let Topic::Change(many) = heard.try_recv().unwrap() else { panic!("another hint") };
        assert!(many.is_many() && heard.try_recv().is_err());
    }
}
