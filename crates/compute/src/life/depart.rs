//! The end of a server: out of its host's document, and everything given back.

use super::{LOOK, Seen, State, moving, resize};
use crate::hosts::silent_after;
use crate::model::Server;
use crate::pulse;
use crate::table::{self, action, guest, host, migration, server};
use base::{Micros, Result};
use std::time::Duration;
use store::log::{Level, event};
use store::work::Step;
use store::{Tx, params, quota};

/// How often a server that can still be restored is looked at, at least.
const RECLAIM_LOOK: Duration = Duration::from_secs(3600);

/// Delete was asked: on to waiting for the host, or at once gone where no host ever had it.
pub fn depart(seen: &Seen) -> Step<State> {
    let Some(host) = &seen.host else { return gone(seen) };
    // A document of the generation that was read may still hold the guest: the host may have been chosen
    // while delete was asked. Any later one is without it.
    let (id, generation) = (host.id, host.generation + 1);
    // The same of a host that it was on its way to.
    let to = seen.moving.as_ref().filter(|m| m.withdrawn == 0).and(seen.to.as_ref());
    let to = to.map(|h| (h.id, h.generation + 1, seen.server.id));
    Step::go(State::Deleting { generation }).also(move |tx| {
        if let Some((to, generation, server)) = to {
            table::moving::withdraw(tx, server, generation, "The server is deleted.")?;
            store::host::touch(tx, to)?;
        }
        store::host::touch(tx, id)
    })
}

pub fn deleting(seen: &Seen, generation: u64) -> Step<State> {
    let Some(host) = &seen.host else { return gone(seen) };
    if seen.moving.as_ref().is_some_and(|m| m.to.is_some() && !moving::let_go(seen, m)) {
        return Step::wait(LOOK, "waiting for the host that it was on its way to to let go of the guest");
    }
    if host.applied >= generation && seen.guest.is_none() {
        return gone(seen);
    }
    if !host.enabled && pulse::is_lost(host) {
        let (id, name) = (seen.server.id, host.name.clone());
        return gone(seen).also(move |tx| {
            let text = format!(
                "Deleted while its host {name} was disabled and silent for {} s or more; the host \
                                removes the guest when it comes back.",
                silent_after().as_secs()
            );
            event(tx, Level::Warning, "server.deleted_blindly", &id.to_string(), &text)
        });
    }
    Step::wait(LOOK, seen.why("waiting for the host to remove the guest"))
}

/// Gives everything back, in the transaction that ends the life-cycle.
fn gone(seen: &Seen) -> Step<State> {
    let s = seen.server.clone();
    Step::gone().also(move |tx| {
        if !server::bury(tx, s.id)? {
            return Ok(());
        }
        let on_its_way = table::moving::of(tx, s.id)?;
        let mut claims = resize::claims(&s);
        claims.extend(on_its_way.as_ref().and_then(moving::claim));
        network::for_compute::hold(tx, s.id)?;
        quota::hold(tx, &s.project_id, &["instances", "cores", "ram", "port"])?;
        network::for_compute::hold_hosts(tx, s.id, None, claims.iter().map(|(h, _)| *h))?;
        network::for_compute::release(tx, s.id)?;
        super::give_up(tx, &s)?;
        image::release(tx, s.id)?;
        for (h, (vcpus, ram, disk)) in claims {
            host::unclaim(tx, h, vcpus.into(), ram, disk)?;
            guest::forget(tx, h, s.id)?;
        }
        if let Some(r) = &s.intent.resize {
            migration::ended(tx, r.number, "error")?;
        }
        if let Some(m) = on_its_way {
            migration::ended(tx, m.migration, "error")?;
            table::moving::clear(tx, s.id)?;
        }
        give_quota(tx, &s)?;
        tx.exec("DELETE FROM console_ticket WHERE server_id = $1", params![s.id])?;
        action::finish_for_good(tx, s.id)
    })
}

/// Gives back what a server holds of its project's quota.
pub fn give_quota(tx: &Tx<'_>, s: &Server) -> Result<()> {
    let Some((vcpus, ram)) = resize::counted(s) else { return Ok(()) };
    quota::give(tx, &s.project_id, "instances", 1)?;
    quota::give(tx, &s.project_id, "cores", vcpus.into())?;
    quota::give(tx, &s.project_id, "ram", i64::try_from(ram).unwrap_or(i64::MAX))
}

/// Its deletion can be taken back for a while; then it is deleted for good.
pub fn reclaiming(seen: &Seen, interval: Duration) -> Step<State> {
    let s = &seen.server;
    let Some(since) = s.intent.soft_deleted_at else { return Step::go(State::Settled) };
    let left = interval.saturating_sub(Micros::now().since(since));
    if interval.is_zero() || !left.is_zero() {
        // With the interval switched off nothing is deleted by itself.
        let at_most = if interval.is_zero() { RECLAIM_LOOK } else { left.min(RECLAIM_LOOK) };
        return Step::wait(at_most, "deleted; it can be restored until the reclaim interval has passed");
    }
    let id = s.id;
    Step::go(State::Settled).also(move |tx| {
        server::want_gone(tx, id)?;
        event(tx, Level::Info, "server.reclaimed", &id.to_string(), "The time to restore it has passed.")
    })
}
