//! The loop that makes the host equal to the document, and the two that talk to the region.
//!
//! [`follow`] fetches documents; [`apply`] has what must go removed, then the networks made, then
//! the guests kept ([`crate::guest::keeper`], one task each, so that none waits for another);
//! [`report`] brings back the [`crate::board::Board`] on every change and every ten seconds.
//! All three go on for ever and are dropped when the agent stops, guests untouched.

use crate::board::State;
use crate::facts;
use crate::guest::keeper::{Want, keep};
use crate::guest::{Dir, logs, process};
use crate::host::Host;
use crate::lease::{self, Moment};
use base::doc::{Desired, HostFacts, Observed, Problem, VERSION};
use base::{Backoff, Fault, HostId, Kind, Micros, Result, ServerId};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

const POLL: Duration = Duration::from_secs(30);
/// The region hears of us at least so often.
const REPORT: Duration = Duration::from_secs(5);
/// Changes that come close together travel together.
const GATHER: Duration = Duration::from_millis(50);
/// Everything is looked at again after so long; sooner when something could not be applied.
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_PROBLEMS: Duration = Duration::from_secs(5);
/// How long networks wait for removed guests to let go of their taps.
const REMOVAL: Duration = Duration::from_secs(20);

/// How long a report waits until every guest has been looked at.
const FIRST_LOOK: Duration = Duration::from_secs(10);
/// How long the first report of a host that remembers no document waits for one to be applied.
const FIRST_REPORT: Duration = Duration::from_secs(15);

const DOCUMENT: &str = "desired.json";

/// The document of the last run, so that guests start with the region away.
pub fn remembered(data: &Path) -> Result<Option<Desired>> {
    match std::fs::read(data.join(DOCUMENT)) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(desired) => Ok(Some(desired)),
            Err(e) => {
                tracing::error!("{DOCUMENT} cannot be read ({e}): waiting for the region's");
                Ok(None)
            }
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Fetches each new document, keeps it on disk, and hands it on.
pub async fn follow(host: Arc<Host>) {
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(15));
    let mut fence = host.lease.watch();
    let mut kept = true;
    loop {
        let since = host.desired.borrow().as_ref().map_or(0, |d| d.generation);
        let held = host.desired.borrow().clone();
        if !kept && let Some(document) = &held {
            kept = keep_document(&host.data, document).is_ok();
        }
        // A host that is fenced wants to know at once whether its guests are still its own.
        // So does one that has just begun.
        let hasty = host.lease.fenced(held.as_ref()) || !*host.heard.borrow();
        let wait = match hasty {
            true => Duration::ZERO,
            false if kept => POLL,
            false => AGAIN_PROBLEMS,
        };
        let begun = Moment::now();
        let got = tokio::select! {
            got = host.link.desired(since, wait) => got,
            () = fence.changed() => continue,
        };
        let got = got.and_then(|new| match new {
            Some(new) => accept(&host, since, new).map(|written| kept = written),
            None => Ok(()),
        });
        if got.is_ok() {
            host.heard.send_replace(true);
            let held = host.desired.borrow().clone();
            host.lease.polled(begun, held.as_ref());
            host.lease.note(held.as_ref());
            if wait.is_zero() && host.lease.fenced(held.as_ref()) {
                // Its report is still on the way.
                tokio::time::sleep(lease::TICK).await;
            }
        }
        match got {
            Ok(()) => backoff.reset(),
            Err(fault) => {
                if backoff.tries() == 0 {
                    tracing::warn!("no new document: {fault}");
                }
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
}

/// Hands a document on, also when it cannot be kept: it may be the one that makes room on a full disk.
/// Answers whether it was kept.
fn accept(host: &Host, since: u64, new: Desired) -> Result<bool> {
    acceptable(host.id, host.desired.borrow().is_some().then_some(since), &new)?;
    let kept = keep_document(&host.data, &new);
    if let Err(e) = &kept {
        tracing::error!(
            "{DOCUMENT} cannot be written ({e}): what it says is done, and is lost with this agent"
        );
    }
    tracing::debug!(generation = new.generation, guests = new.guests.len(), "new document");
    host.desired.send_replace(Some(Arc::new(new)));
    Ok(kept.is_ok())
}

/// Writes the document for the next start. On a full disk the old one gives its room; if others took that, it is put
/// back, as it still tells what belongs to this host.
fn keep_document(data: &Path, document: &Desired) -> Result<()> {
    let (file, bytes) = (data.join(DOCUMENT), serde_json::to_vec(document)?);
    let mut written = tls::write_private(&file, &bytes);
    if written.as_ref().is_err_and(|e| e.kind == Kind::TooLarge) {
        let (new, old) = (file.with_extension("new"), std::fs::read(&file));
        for held in [&new, &file] {
            let _ = std::fs::remove_file(held);
        }
        written = tls::write_private(&file, &bytes);
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
            let _ = old.map(|old| tls::write_private(&file, &old));
        }
    }
    written
}

/// A document is ours and newer than the one held, or it is refused.
fn acceptable(host: HostId, held: Option<u64>, new: &Desired) -> Result<()> {
    if new.host != host {
        return Err(Fault::conflict(format!("the document is of host {}, not ours", new.host)));
    }
    match held {
        Some(held) if new.generation <= held => {
            Err(Fault::conflict(format!("refused generation {}: {held} is held", new.generation)))
        }
        _ => Ok(()),
    }
}

/// One keeper task and the line to it.
struct Kept {
    want: watch::Sender<Want>,
    task: tokio::task::AbortHandle,
}

/// Applies each document, and the newest one again from time to time.
pub async fn apply(host: Arc<Host>) {
    let mut desired = host.desired.subscribe();
    let mut tasks = JoinSet::new();
    let mut kept: HashMap<ServerId, Kept> = HashMap::new();
    loop {
        let document = desired.borrow_and_update().clone();
        let mut again = AGAIN;
        if let Some(document) = document {
            hand_out(&host, &document, &mut kept, &mut tasks);
            let unremoved = removed(&document, &kept).await;
            let mut report = host.net.apply(&document).await;
            report.problems.extend(unremoved);
            if !report.problems.is_empty() {
                again = AGAIN_PROBLEMS;
            }
            host.applied.send_replace(document.generation);
            // A report about this generation must not miss a guest that nobody has looked at yet.
            let ids: Vec<_> = document.guests.iter().map(|g| g.id).collect();
            let _ = tokio::time::timeout(FIRST_LOOK, host.board.knows(&ids)).await;
            host.board.net(document.generation, report);
            let wanted = document.guests.iter().filter_map(|g| Some(g.disk.image.as_ref()?.sha512.clone()));
            host.images.tidy(wanted.collect());
        }
        tokio::select! {
            _ = desired.changed() => {}
            () = tokio::time::sleep(again) => {}
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// Tells every keeper what the document says of its guest; guests found on disk get one too.
fn hand_out(
    host: &Arc<Host>,
    document: &Desired,
    kept: &mut HashMap<ServerId, Kept>,
    tasks: &mut JoinSet<()>,
) {
    kept.retain(|_, k| !k.task.is_finished());
    let mut ids: HashSet<ServerId> = process::on_disk(&host.data).into_iter().collect();
    ids.extend(kept.keys().copied());
    let mut wants: HashMap<ServerId, Want> =
        ids.into_iter().map(|id| (id, Want { guest: None, generation: document.generation })).collect();
    for guest in &document.guests {
        let want = Want { guest: Some(Arc::new(guest.clone())), generation: document.generation };
        wants.insert(guest.id, want);
    }
    for (id, want) in wants {
        if let Some(k) = kept.get(&id) {
            let generation = want.generation;
            k.want.send_if_modified(|old| {
                let new = old.generation != generation;
                if new {
                    *old = want;
                }
                new
            });
        } else {
            let (tell, hear) = watch::channel(want);
            let task = tasks.spawn(keep(host.clone(), id, hear));
            kept.insert(id, Kept { want: tell, task });
        }
    }
}

/// Waits until guests that are not named any more are gone, and says which are not.
async fn removed(document: &Desired, kept: &HashMap<ServerId, Kept>) -> Vec<Problem> {
    let named: HashSet<ServerId> = document.guests.iter().map(|g| g.id).collect();
    let leaving: Vec<_> = kept.iter().filter(|(id, _)| !named.contains(id)).collect();
    let gone = async {
        for (_, k) in &leaving {
            k.want.closed().await;
        }
    };
    let _ = tokio::time::timeout(REMOVAL, gone).await;
    let left = leaving.iter().filter(|(_, k)| !k.want.is_closed());
    left.map(|(id, _)| Problem {
        kind: "guest".into(),
        id: id.to_string(),
        reason: format!("It could not be removed within {} s; still trying.", REMOVAL.as_secs()),
    })
    .collect()
}

/// Brings the board back to the region: at once after a change, and regularly.
pub async fn report(host: Arc<Host>, facts: HostFacts) {
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
    let remembers = host.desired.borrow().is_some();
    if remembers {
        // On a busy machine that takes its time, and before it a report would be refused as an old one.
        host.board.applied().await;
    } else {
        let _ = tokio::time::timeout(FIRST_REPORT, host.board.applied()).await;
    }
    let mut board = host.board.watch();
    let mut models = false;
    loop {
        let state = board.borrow_and_update().clone();
        let begun = Moment::now();
        let sent = match observed(&host, &facts, state) {
            Ok(observed) => host.link.observe(&observed).await,
            Err(e) => Err(e),
        };
        if sent.is_ok() {
            let held = host.desired.borrow().clone();
            host.lease.taken(begun, held.as_ref());
        }
        match sent {
            Ok(()) => {
                backoff.reset();
                tokio::select! {
                    _ = board.changed() => {}
                    () = host.kinds.heard(&mut models) => {}
                    () = tokio::time::sleep(REPORT) => {}
                }
                tokio::time::sleep(GATHER).await;
            }
            Err(fault) => {
                if backoff.tries() == 0 {
                    tracing::warn!("no report reached the region: {fault}");
                }
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
}

fn observed(host: &Host, facts: &HostFacts, board: State) -> Result<Observed> {
    Ok(Observed {
        version: VERSION,
        host: host.id,
        applied: board.applied,
        at: Micros::now(),
        facts: facts::refresh(facts, host)?,
        guests: board.guests.into_values().collect(),
        ports_up: board.ports_up,
        problems: board.problems,
    })
}

/// Keeps the guests' logs short.
pub async fn trim_logs(host: Arc<Host>) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        for id in process::on_disk(&host.data) {
            if let Err(fault) = logs::cap(&Dir::of(&host.data, id)) {
                tracing::warn!(guest = %id, "its log could not be cut: {fault}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(host: HostId, generation: u64) -> Desired {
        Desired {
            version: VERSION,
            host,
            generation,
            guests: vec![],
            networks: vec![],
            groups: vec![],
            routers: vec![],
            fence_s: None,
        }
    }

    #[test]
    fn on_a_full_disk_the_old_document_gives_its_room() {
        let data = tempfile::tempdir().unwrap();
        let (old, new) = (document(HostId::new(), 1), document(HostId::new(), 2));
        keep_document(data.path(), &old).unwrap();
        // The next write finds no space, the one after it does.
        std::os::unix::fs::symlink("/dev/full", data.path().join("desired.new")).unwrap();
        keep_document(data.path(), &new).unwrap();
        assert_eq!(remembered(data.path()).unwrap(), Some(new));
    }

    #[test]
    fn a_document_that_cannot_be_written_leaves_the_old_one() {
        let data = tempfile::tempdir().unwrap();
        let (old, new) = (document(HostId::new(), 1), document(HostId::new(), 2));
        keep_document(data.path(), &old).unwrap();
        let obstacle = data.path().join("desired.new");
        std::fs::create_dir(&obstacle).unwrap();
        assert!(keep_document(data.path(), &new).is_err());
        assert_eq!(remembered(data.path()).unwrap(), Some(old));
        std::fs::remove_dir(&obstacle).unwrap();
        keep_document(data.path(), &new).unwrap();
        assert_eq!(remembered(data.path()).unwrap(), Some(new));
    }

    #[test]
    fn refuses_documents_that_are_old_or_of_others() {
        let host = HostId::new();
        let new = document(host, 5);
        assert!(acceptable(host, None, &new).is_ok());
        assert!(acceptable(host, Some(4), &new).is_ok());
        assert!(acceptable(host, Some(5), &new).is_err());
        assert!(acceptable(host, Some(6), &new).is_err());
        assert!(acceptable(HostId::new(), None, &new).is_err());
    }
}
