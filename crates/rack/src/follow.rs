//! The document comes, is kept and applied; what is seen goes back.

use crate::dns::Names;
use crate::mac::Mac;
use crate::{Rack, iface};
use base::doc::VERSION;
use base::doc::rack::{Lease, RackDesired, RackMachineStatus, RackObserved};
use base::{Fault, Kind, RackId, Result};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a question for the document may wait.
const WAIT: Duration = Duration::from_secs(30);
/// A report is due so often, whatever happens.
const REPORT: Duration = Duration::from_secs(15);
/// Reports are this far apart at least: many machines boot in one moment.
const APART: Duration = Duration::from_millis(500);
/// Applied again so often: an interface may have come, or lost its address.
const AGAIN: Duration = Duration::from_secs(10);
const FILE: &str = "desired.json";

/// The last document of this rack.
///
/// # Errors
/// When it is there and cannot be read from the disk.
pub fn remembered(data: &Path, rack: RackId) -> Result<Option<RackDesired>> {
    let bytes = match std::fs::read(data.join(FILE)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    match serde_json::from_slice::<RackDesired>(&bytes) {
        Ok(doc) => Ok(Some(doc).filter(|d| d.rack == rack)),
        Err(e) => {
            tracing::warn!("the last document cannot be read, the region gives another: {e}");
            Ok(None)
        }
    }
}

/// Fetches the document, for ever.
pub async fn follow(rack: Arc<Rack>) {
    let mut wait = Duration::from_millis(200);
    let mut said = None;
    // The first time from the beginning: the region may be a restored one whose count is lower.
    let mut since = 0;
    loop {
        match rack.link.desired(since, WAIT).await {
            Ok(Some(doc)) if doc.rack != rack.id => {
                tracing::error!(other = %doc.rack, "the region gave the document of another rack");
                tokio::time::sleep(REPORT).await;
            }
            Ok(Some(doc)) => {
                since = doc.generation;
                let kept = serde_json::to_vec(&doc)
                    .map_err(Fault::from)
                    .and_then(|b| tls::write_private(&rack.data.join(FILE), &b));
                if let Err(fault) = kept {
                    tracing::error!("the document cannot be kept: {fault}");
                }
                rack.desired.send_replace(Some(Arc::new(doc)));
                (wait, said) = (Duration::from_millis(200), None);
            }
            Ok(None) => (wait, said) = (Duration::from_millis(200), None),
            Err(fault) => {
                if said.as_ref() != Some(&fault.message) {
                    complain(&fault);
                    said = Some(fault.message);
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(5));
            }
        }
    }
}

fn complain(fault: &Fault) {
    match fault.kind {
        Kind::Unauthorized | Kind::Forbidden => tracing::error!(
            "the region does not know this rack: join it again with a new token of `hanok admin rack-token`"
        ),
        _ => tracing::warn!("machines are served from the last document meanwhile: {fault}"),
    }
}

/// Makes it so whenever the document changes, and now and then.
pub async fn apply(rack: Arc<Rack>) {
    let mut desired = rack.desired.subscribe();
    loop {
        let doc = desired.borrow_and_update().clone();
        // What is seen is told with its time, which the region compares with its own.
        base::clock::follow_wall();
        if let Some(doc) = doc {
            rack.cache.want(&doc.images, doc.live.as_ref());
            rack.power.apply(&doc);
            rack.segments.apply(&rack, &doc).await;
            rack.applied.send_replace(doc.generation);
            rack.board.news.notify_one();
        }
        let _ = tokio::time::timeout(AGAIN, desired.changed()).await;
    }
}

/// Reports what is seen when it changes, and now and then.
pub async fn report(rack: Arc<Rack>) {
    let mut images = rack.cache.changed.subscribe();
    let mut power = rack.power.changed();
    let mut failed = false;
    if rack.desired.borrow().is_some() {
        // What was remembered is applied first: until then nothing is served, which would be news of the wrong kind.
        let _ = rack.applied.subscribe().wait_for(|generation| *generation > 0).await;
    }
    loop {
        let begun = Instant::now();
        match observed(&rack).await {
            Ok(seen) => match rack.link.observe(&seen).await {
                Ok(()) => failed = false,
                Err(fault) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!("a report was not taken: {fault}");
                    }
                }
            },
            Err(fault) => tracing::warn!("what is seen cannot be told: {fault}"),
        }
        tokio::time::sleep_until(begun + APART).await;
        tokio::select! {
            () = rack.board.news.notified() => {}
            _ = images.changed() => {}
            _ = power.changed() => {}
            () = tokio::time::sleep_until(begun + REPORT) => {}
        }
    }
}

async fn observed(rack: &Rack) -> Result<RackObserved> {
    let desired = rack.desired.borrow().clone();
    let applied = *rack.applied.borrow();
    let segments = rack.segments.all();
    let machines = rack.power.statuses().into_iter().map(|status| {
        let booted = rack.board.boot_of(status.id);
        RackMachineStatus {
            boot_at: booted.map(|(at, _)| at),
            boot_answer: booted.map(|(_, what)| what.to_owned()).unwrap_or_default(),
            ..status
        }
    });
    let leases: Vec<Lease> = segments.iter().flat_map(|s| s.leases()).collect();
    if let Some(desired) = &desired {
        let mut leased: HashMap<Mac, Vec<IpAddr>> = HashMap::new();
        for lease in &leases {
            if let Ok(mac) = lease.mac.parse() {
                leased.entry(mac).or_default().push(lease.address);
            }
        }
        rack.names.send_replace(Arc::new(Names::of(desired, &leased)));
    }
    let known = crate::view::cards_of(desired.as_deref());
    Ok(RackObserved {
        version: VERSION,
        rack: rack.id,
        applied,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        interfaces: iface::all().await?.into_iter().map(|(_, interface)| interface).collect(),
        segments: rack.segments.statuses(),
        machines: machines.collect(),
        images: rack.cache.statuses(),
        leases,
        strangers: rack.board.strangers(|mac| known.contains_key(&mac)),
    })
}
