//! Taking over what an agent reports: the host's facts, its guests, its ports.
//!
//! Reports come often and mostly say the same again, so a digest tells a repetition from news, and only
//! news is taken over; that a host was heard is [`crate::pulse`]'s. A server's life-cycle is woken only when
//! something about its guest changed. Hosts are not trusted, nor are the guests whose words they pass on:
//! what they say is cut short before it is kept.

use crate::table::guest::Seen;
use crate::table::host::Host;
use crate::table::{guest, server};
use base::doc::{GuestState, GuestStatus, Observed, Problem};
use base::{Fault, Micros, Result, ServerId, first_chars};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet};
use store::{Tx, params, work};

const GIB: u64 = 1 << 30;
/// Characters of a reason.
const REASON_MAX: usize = 1000;

/// What tells two reports apart.
pub fn digest(o: &Observed) -> Result<String> {
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(&o.gist())?)))
}

/// Whether a report says what the host's last one said.
pub fn is_last(tx: &Tx<'_>, host: &Host, digest: &str) -> Result<bool> {
    let sql = "SELECT digest FROM host_report WHERE host_id = $1";
    let known = tx.opt(sql, params![host.id], |r| r.get::<String>(0))?;
    Ok(known.as_deref() == Some(digest))
}

fn refuse_old(host: &Host, o: &Observed) -> Result<()> {
    if o.applied >= host.applied {
        return Ok(());
    }
    Err(Fault::conflict(format!(
        "This report is about document {} of the host {}, which has reported {} already.",
        o.applied, host.name, host.applied
    )))
}

/// Writes a report. `host` was read in the same transaction.
pub fn take_over(tx: &Tx<'_>, host: &Host, o: &Observed, digest: &str) -> Result<()> {
    refuse_old(host, o)?;
    let before = guest::of_host(tx, host.id)?;
    let guests: Vec<GuestStatus> = o.guests.iter().cloned().map(in_short).collect();
    let mut news = compare(&before, &guests);
    if o.applied > host.applied {
        // Those that the host still has are woken when it has them no more.
        let there: HashSet<ServerId> = o.guests.iter().map(|g| g.id).collect();
        news.wake.extend(server::leaving(tx, host.id)?.into_iter().filter(|id| !there.contains(id)));
    }
    // In the order of a life-cycle's step, or the two would wait for each other on PostgreSQL: the work, what
    // belongs to it, the host last.
    for id in &news.wake {
        work::wake(tx, &id.to_string())?;
    }
    news.changed.iter().try_for_each(|seen| guest::put(tx, host.id, seen))?;
    news.gone.iter().try_for_each(|id| guest::forget(tx, host.id, *id))?;
    network::for_hosts::observed(tx, host.id, &o.ports_up)?;
    network::for_hosts::reported(tx, host.id, &host.facts, &o.facts)?;
    let cut = |p: &Problem| Problem { reason: first_chars(&p.reason, REASON_MAX).to_owned(), ..p.clone() };
    let problems: Vec<Problem> = o.problems.iter().map(cut).collect();
    tx.exec(
        "INSERT INTO host_report (host_id, digest, problems) VALUES ($1, $2, $3)
         ON CONFLICT (host_id) DO UPDATE SET digest = excluded.digest, problems = excluded.problems",
        params![host.id, digest, serde_json::to_string(&problems)?],
    )?;
    keep_host(tx, host, o)
}

fn keep_host(tx: &Tx<'_>, host: &Host, o: &Observed) -> Result<()> {
    let n = tx.exec(
        "UPDATE host SET applied = $2, seen_at = $3, facts = $4, vcpus = $5, memory_mib = $6, disk_gib = $7,
           cpu_models = $8
         WHERE id = $1 AND applied <= $2",
        params![
            host.id,
            o.applied,
            Micros::now(),
            serde_json::to_string(&o.facts)?,
            o.facts.vcpus,
            o.facts.memory_mib,
            o.facts.disk_bytes / GIB,
            o.facts.cpu_models.join(",")
        ],
    )?;
    if n == 0 {
        return Err(Fault::conflict("A newer report of this host came in meanwhile."));
    }
    if o.applied > host.generation {
        // Our database was put back to an older copy: go beyond what the host holds, or it would
        // refuse our documents.
        tx.exec("UPDATE host SET generation = $2 WHERE id = $1", params![host.id, o.applied])?;
        store::host::touch(tx, host.id)?;
    }
    Ok(())
}

/// How much of a guest has gone over wakes nobody.
fn without_progress(g: &GuestStatus) -> GuestStatus {
    let mut g = g.clone();
    if let Some(m) = &mut g.moving {
        (m.sent_bytes, m.total_bytes) = (0, 0);
    }
    g
}

/// What a report says that was not known.
#[derive(Default)]
struct News {
    changed: Vec<Seen>,
    gone: Vec<ServerId>,
    /// Servers whose life-cycle should look.
    wake: BTreeSet<ServerId>,
}

/// With no more of each reason than a person reads.
fn in_short(mut g: GuestStatus) -> GuestStatus {
    let captures = g.captures.iter_mut().map(|c| &mut c.reason);
    let moving = g.moving.iter_mut().map(|m| &mut m.reason);
    for text in captures.chain(moving).chain([&mut g.reason, &mut g.password_error]) {
        text.truncate(first_chars(text, REASON_MAX).len());
    }
    g
}

fn compare(before: &[Seen], guests: &[GuestStatus]) -> News {
    let mut old: HashMap<ServerId, &Seen> = before.iter().map(|s| (s.status.id, s)).collect();
    let mut news = News::default();
    for now in guests {
        let was = old.remove(&now.id);
        if was.is_some_and(|w| w.status == *now) {
            continue;
        }
        let same = was.filter(|w| w.status.state == now.state && w.status.ownership == now.ownership);
        news.changed.push(Seen { status: now.clone(), since: same.map_or_else(Micros::now, |w| w.since) });
        // Progress words alone are read when somebody asks why.
        let words = |s: &GuestStatus| {
            let mut s = GuestStatus { reason: String::new(), started_at: None, ..without_progress(s) };
            if let Some(m) = &mut s.moving {
                m.reason.clear();
            }
            s
        };
        let moved = same.is_none_or(|w| words(&w.status) != words(now));
        if moved && (now.state != GuestState::Preparing || now.moving.is_some()) {
            news.wake.insert(now.id);
        }
    }
    news.gone = old.into_keys().collect();
    news.wake.extend(&news.gone);
    news
}
