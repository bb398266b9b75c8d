//! `shelve`, `shelveOffload`, `unshelve`: see [`crate::life`].

use super::snapshot::{Ask, COPYABLE, ask};
use super::{accepted, admins_only, intend, no_arguments};
use crate::Compute;
use crate::api::at;
use crate::api::servers::{must_be, must_stay};
use crate::model::{Server, Task, VmState};
use crate::table::capture::Purpose;
use crate::table::shelf::{Shelf, Wish};
use crate::table::{host, intent, server, shelf};
use api::{Obj, Reply, Req};
use base::doc::Power;
use base::{Fault, Result, ServerId};
use store::Tx;

/// `shelve`.
pub async fn shelve(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    no_arguments(body, "shelve")?;
    let offload = c.limits.shelved_offload_s == 0;
    let asked = intend(c, req, id, "shelve", move |tx, s| {
        must_be(s, "shelve", COPYABLE, &[None])?;
        must_stay(tx, s, "shelve")?;
        let wish =
            Ask { name: format!("{}-shelved", s.name), metadata: Vec::new(), purpose: Purpose::Shelve };
        let image = ask(tx, s, &wish)?;
        let wish = if offload { Wish::Offloaded } else { Wish::Shelved };
        shelf::put(tx, id, &Shelf { image, wish, since: None })?;
        intent::awake(tx, id)?;
        server::want_power(tx, id, Power::Off, Task::Shelving)
    });
    asked.await.map(accepted)
}

/// `shelveOffload`, for administrators.
pub async fn offload(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    admins_only(req, "os-shelve:shelve_offload")?;
    no_arguments(body, "shelveOffload")?;
    let asked = intend(c, req, id, "shelveOffload", move |tx, s| {
        must_be(s, "shelveOffload", &[VmState::Shelved], &[None])?;
        let shelf = shelf::of(tx, id)?.ok_or_else(|| Fault::internal("shelved without an image"))?;
        shelf::put(tx, id, &Shelf { wish: Wish::Offloaded, ..shelf })?;
        server::task(tx, id, Some(Task::ShelvingOffloading))
    });
    asked.await.map(accepted)
}

/// Where an offloaded server should come back.
#[derive(Clone, Default)]
struct To {
    /// From 2.77; `Some("")` (null, from 2.91) is anywhere.
    zone: Option<String>,
    host: Option<String>,
}

fn parse(req: &Req, body: &Obj) -> Result<To> {
    let Some(o) = body.opt_inner("unshelve")? else { return Ok(To::default()) };
    let later = at(req, 91);
    if !at(req, 77) {
        o.only(&[])?;
        return Ok(To::default());
    }
    o.only(if later { &["availability_zone", "host"] } else { &["availability_zone"] })?;
    let zone = if later && o.is_null("availability_zone") && o.map.contains_key("availability_zone") {
        Some(String::new())
    } else {
        o.opt_str("availability_zone", 255)?
    };
    if zone.is_none() && !later {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute unshelve. 'availability_zone' is a required property",
        ));
    }
    let host = o.opt_str("host", 255)?;
    if host.is_some() && !req.auth.is_admin() {
        return Err(Fault::forbidden(
            "Policy doesn't allow os_compute_api:os-shelve:unshelve_to_host to be performed.",
        ));
    }
    Ok(To { zone, host })
}

/// `unshelve {availability_zone, host}`.
pub async fn unshelve(c: &Compute, req: &Req, body: &Obj, id: ServerId) -> Result<Reply> {
    let to = parse(req, body)?;
    let auth = req.auth.clone();
    let asked = intend(c, req, id, "unshelve", move |tx, s| {
        must_be(s, "unshelve", &[VmState::Shelved, VmState::ShelvedOffloaded], &[None])?;
        let shelf = shelf::of(tx, id)?.ok_or_else(|| Fault::internal("shelved without an image"))?;
        if s.vm_state == VmState::ShelvedOffloaded {
            // The disk begins as what it was put aside as.
            let found = image::for_boot(tx, &auth, shelf.image)?;
            image::hold(tx, id, &found.source.sha512)?;
            server::set_image(tx, id, &found.source)?;
            direct(tx, s, &to)?;
        } else if to.zone.is_some() || to.host.is_some() {
            return Err(Fault::conflict(format!(
                "Cannot 'unshelve' instance {id} to another place while it is in vm_state shelved"
            )));
        }
        shelf::put(tx, id, &Shelf { wish: Wish::Back, ..shelf })?;
        server::want_power(tx, id, Power::On, Task::Unshelving)
    });
    asked.await.map(accepted)
}

/// Takes note of where it should come back.
fn direct(tx: &Tx<'_>, s: &Server, to: &To) -> Result<()> {
    let mut hints = s.hints.clone();
    hints.host.clone_from(&to.host);
    if let Some(name) = &to.host
        && host::by_name(tx, name)?.is_none()
    {
        return Err(Fault::bad_request(format!("Compute host {name} could not be found.")));
    }
    let zone = to.zone.as_ref().unwrap_or(&s.availability_zone);
    if !zone.is_empty() && !host::zone_exists(tx, zone)? {
        return Err(Fault::bad_request(format!("The requested availability zone is not available: {zone}")));
    }
    server::set_place(tx, s.id, zone, &hints)
}
