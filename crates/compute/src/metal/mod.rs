//! Machines as servers: `openstack server create --flavor metal.…`.
//!
//! Each machine with a class that is ready is a host of its own, which takes one server. It has no agent; this
//! is it. It reads the same desired document that an agent would get, has the metal service do what that takes
//! ([`decide`], pure), and reports what is in the agents' words, so that a server's life-cycle knows no
//! difference. All of it happens in one transaction per machine, so that it may be done by any process, twice.
//!
//! What a machine does not have is refused by the API ([`refuse`]): there is nobody below its system to pause
//! it, move it or copy its disk. Its NICs are on physical networks only; its ports wear its MACs.

mod decide;
mod table;

use crate::model::Server;
use crate::table::{flavor, host};
use crate::{document, observed, placing};
use ::metal::act::{Owner, Power};
use ::metal::model::{Constraints, Deploy, Machine, Seed};
use ::metal::{Metal, table as machines};
use base::doc::live::EraseMode;
use base::doc::{Desired, Guest, GuestState, HostFacts, Observed, Subnet, VERSION};
use base::metadata::{self, NicFacts};
use base::{Fault, FlavorId, HostId, Kind, MachineId, Micros, ProjectId, Result, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use decide::{Act, Decision};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Db, Topic, Tx};
use table::Held;
use tokio::sync::broadcast::error::RecvError;

/// Changes are hinted at; this is how often all machines are looked at besides.
const LOOK: Duration = Duration::from_secs(1);
/// Changes that come at once are taken together.
const TOGETHER: Duration = Duration::from_millis(50);

/// The keeper of machines that Compute hands out, one per process.
pub struct Keeper {
    db: Db,
    metal: Arc<Metal>,
}

impl Keeper {
    pub fn new(db: Db, metal: Arc<Metal>) -> Self {
        Keeper { db, metal }
    }

    /// Looks after all machines, until dropped.
    pub async fn run(self) {
        let mut hints = self.db.topics();
        loop {
            if let Err(fault) = self.look().await {
                tracing::warn!(%fault, "machines could not be looked at; trying again");
            }
            let told = async {
                while !matches!(
                    hints.recv().await,
                    Ok(Topic::Host(_) | Topic::Neighbour(_) | Topic::Machine(_) | Topic::Missed)
                        | Err(RecvError::Lagged(_))
                ) {}
                tokio::time::sleep(TOGETHER).await;
            };
            let _ = tokio::time::timeout(LOOK, told).await;
        }
    }

    /// Makes hosts of machines, and brings together what is and what should be of each that changed.
    ///
    /// # Errors
    /// The database's; a machine that cannot be served is logged, and the others are.
    pub async fn look(&self) -> Result<()> {
        let (new, changed, late) =
            self.db.read(|tx| Ok((table::unknown(tx)?, table::changed(tx)?, table::unheard(tx)?))).await?;
        for id in new {
            self.db.write(move |tx| admit(tx, id)).await?;
        }
        if late {
            self.db.write(table::heard).await?;
        }
        for id in changed {
            let metal = self.metal.clone();
            let Err(fault) = self.db.write(move |tx| sync(tx, &metal, id, None)).await else { continue };
            tracing::warn!(host = %id, %fault, "a machine could not be served");
            if matches!(fault.kind, Kind::Unavailable | Kind::Internal) {
                continue;
            }
            // Its server says why.
            let metal = self.metal.clone();
            self.db.write(move |tx| sync(tx, &metal, id, Some(&fault.message))).await?;
        }
        Ok(())
    }
}

/// Offers a machine as a host, and makes the flavor of its class, the first time that there is one.
fn admit(tx: &Tx<'_>, id: MachineId) -> Result<()> {
    let Some(m) = machines::machine::by_id(tx, id)? else { return Ok(()) };
    let class = class_name(&m.resource_class);
    let zone = if m.zone == "default" { "nova" } else { m.zone.as_str() };
    let host = HostId::new();
    let name = match host::by_name(tx, &m.name)? {
        Some(_) => format!("{}-{}", m.name, m.system_id),
        None => m.name.clone(),
    };
    // Nobody shows this token: the machine has no agent.
    crate::hosts::register_host(tx, host, &name, &HostId::new().to_string(), zone)?;
    table::insert(tx, host, id, &class)?;
    if !table::first_of_class(tx, &class)? {
        return Ok(());
    }
    let lower = m.resource_class.to_lowercase();
    let name = if lower.starts_with("metal.") { lower } else { format!("metal.{lower}") };
    if flavor::offer(tx, &name, &name, m.cores.max(1), m.memory_mib, (m.disk_bytes >> 30).max(1))? {
        flavor::set_spec(tx, &FlavorId::from(name), &format!("resources:{class}"), "1")?;
    }
    Ok(())
}

/// A class of machines as flavors name it (`CUSTOM_` and capitals, as Placement names resource classes).
fn class_name(class: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("CUSTOM_{}", class.chars().map(plain).collect::<String>())
}

/// Looks at one machine, and has done what it takes; or only says that this could not be done, and why.
fn sync(tx: &Tx<'_>, metal: &Metal, id: HostId, failed: Option<&str>) -> Result<()> {
    let Some(held) = table::hold(tx, id)? else { return Ok(()) };
    let machine = machines::machine::by_id(tx, held.machine)?;
    let Some(m) = machine.filter(|m| held.server.is_some() || table::offered(m)) else {
        return table::leave(tx, id);
    };
    let Some(host) = host::by_id(tx, id)? else { return Ok(()) };
    let desired = document::make(tx, &host)?;
    let Decision { act, mut status, ready } = decide::decide(&held, &m, desired.guests.first());
    match (failed, &mut status) {
        (Some(why), Some(s)) => (s.state, s.reason) = (GuestState::Failed, why.to_owned()),
        (Some(_), None) => {}
        (None, _) => act.into_iter().try_for_each(|act| carry_out(tx, metal, &held, &m, act, &desired))?,
    }
    table::enable(tx, &host, ready.err().as_deref())?;
    let up = status.as_ref().is_some_and(decide::is_up);
    let report = Observed {
        version: VERSION,
        host: id,
        applied: host.generation,
        at: Micros::now(),
        facts: facts(tx, &m)?,
        guests: status.into_iter().collect(),
        ports_up: desired.guests.iter().filter(|_| up).flat_map(|g| &g.nics).map(|n| n.port).collect(),
        problems: Vec::new(),
    };
    observed::take_over(tx, &host, &report, &observed::digest(&report)?)?;
    // As it is now: what was just asked of it has changed it.
    table::looked_at(tx, id)
}

fn carry_out(tx: &Tx<'_>, metal: &Metal, held: &Held, m: &Machine, act: Act, d: &Desired) -> Result<()> {
    let guest = d.guests.first();
    match act {
        Act::Take => {
            let Some(g) = guest else { return Ok(()) };
            let user: String =
                tx.one("SELECT user_id FROM server WHERE id = $1", store::params![g.id], |r| r.get(0))?;
            let owner = Owner {
                project: ProjectId::from(g.metadata.project_id.clone()),
                user: UserId::from(user),
                agent_name: String::new(),
            };
            let this = Constraints { id: Some(m.id), ..Constraints::default() };
            metal.allocate(tx, &this, &owner)?;
            network::for_compute::wear(tx, g.id, &table::macs(tx, m.id)?)?;
            table::give(tx, held.host, Some(g.id))
        }
        Act::Write => {
            let Some(g) = guest else { return Ok(()) };
            // The ports' MACs have just become the machine's.
            let Some(host) = host::by_id(tx, held.host)? else { return Ok(()) };
            let d = document::make(tx, &host)?;
            let g = d.guests.iter().find(|now| now.id == g.id).unwrap_or(g);
            metal.install(tx, m.id, installation(tx, g, &d)?)?;
            table::wrote(tx, held.host, g.disk.epoch, g.boots)
        }
        Act::Release => {
            metal.release(tx, m.id, EraseMode::Secure)?;
            table::give(tx, held.host, None)
        }
        Act::Forget => table::give(tx, held.host, None),
        Act::Stop => metal.power(tx, m.id, Power::Off { hard: false }).map(drop),
        Act::Restart { off, hard, boots } => {
            metal.power(tx, m.id, if off { Power::On } else { Power::Cycle { hard } })?;
            table::restarted(tx, held.host, boots)
        }
        Act::Booted => table::booted(tx, held.host),
    }
}

/// What is to be written: the server's image, and its metadata on a configuration drive with addresses that
/// need nobody to give them.
fn installation(tx: &Tx<'_>, g: &Guest, d: &Desired) -> Result<Deploy> {
    let Some(image) = &g.disk.image else {
        return Err(Fault::bad_request("A machine needs an image that it is written with."));
    };
    let fixed = |nic: NicFacts| NicFacts {
        subnets: nic.subnets.into_iter().map(|s| Subnet { dhcp: false, ..s }).collect(),
        ..nic
    };
    let nics: Vec<NicFacts> = metadata::nics(g, d).into_iter().map(fixed).collect();
    let (mut drive, mut drive_base64) = (BTreeMap::new(), BTreeMap::new());
    for (path, bytes) in metadata::files(g, &nics) {
        match String::from_utf8(bytes) {
            Ok(text) => drop(drive.insert(path, text)),
            // User data may be anything, such as what gzip makes.
            Err(e) => drop(drive_base64.insert(path, STANDARD.encode(e.as_bytes()))),
        }
    }
    let name = tx.opt("SELECT name FROM image WHERE id = $1", store::params![image.id], |r| {
        r.get::<Option<String>>(0)
    })?;
    Ok(Deploy {
        image: image.id,
        image_name: name.flatten().unwrap_or_else(|| image.id.to_string()),
        sha512: image.sha512.clone(),
        format: image.format.clone(),
        bytes: image.bytes,
        virtual_size: 0,
        disk: String::new(),
        seed: Seed { drive, drive_base64, ..Seed::default() },
        as_host: false,
        wait_for_system: false,
    })
}

fn facts(tx: &Tx<'_>, m: &Machine) -> Result<HostFacts> {
    Ok(HostFacts {
        hostname: m.name.clone(),
        vcpus: m.cores,
        memory_mib: m.memory_mib,
        disk_bytes: m.disk_bytes,
        cpu_model: m.cpu_model.clone(),
        physical_networks: table::macs(tx, m.id)?.into_iter().collect(),
        ..HostFacts::default()
    })
}

/// What only guests can do.
const GUESTS_ONLY: [(&str, &str); 19] = [
    ("pause", "be paused"),
    ("unpause", "be paused"),
    ("suspend", "be suspended"),
    ("resume", "be suspended"),
    ("rescue", "be rescued with an image: an operator can start its live system"),
    ("unrescue", "be rescued with an image"),
    ("resize", "be resized"),
    ("migrate", "move"),
    ("os-migrateLive", "move"),
    ("evacuate", "move"),
    ("os-getVNCConsole", "show a screen; open its serial console"),
    ("createImage", "be copied while somebody uses it"),
    ("createBackup", "be copied while somebody uses it"),
    ("shelve", "be shelved"),
    ("shelveOffload", "be shelved"),
    ("trigger_crash_dump", "be interrupted"),
    ("changePassword", "be reached inside its system"),
    ("addFixedIp", "get another NIC"),
    ("removeFixedIp", "lose a NIC"),
];

/// Whether an action is for guests only.
pub fn for_guests(action: &str) -> bool {
    GUESTS_ONLY.iter().any(|(name, _)| *name == action)
}

/// Whether a server is a machine.
fn is_machine(s: &Server) -> bool {
    !placing::class(&s.flavor.extra_specs).is_empty()
}

/// A ticket for the serial port of the machine that a server is; `None` for guests.
///
/// # Errors
/// 409 when its BMC has none.
pub fn console(tx: &Tx<'_>, s: &Server, operator: bool) -> Result<Option<String>> {
    if !is_machine(s) {
        return Ok(None);
    }
    let machine = table::of_server(tx, s.id)?;
    let machine = machine.ok_or_else(|| Fault::conflict(format!("Instance {} is not ready", s.id)))?;
    ::metal::console_ticket(tx, machine, operator).map(Some)
}

/// The last of what the console of the machine that a server is has said; `None` for guests.
///
/// # Errors
/// `NotImplemented` (501) until somebody has had it open: a machine writes nothing down by itself.
pub fn console_log(tx: &Tx<'_>, s: &Server) -> Result<Option<String>> {
    if !is_machine(s) {
        return Ok(None);
    }
    let kept = table::of_server(tx, s.id)?.map(|m| ::metal::console_log(tx, m)).transpose()?.flatten();
    kept.map(Some).ok_or_else(|| {
        let words = format!(
            "Server {} is a machine of its own: what its serial console says is kept while somebody has it open, and \
             nobody had yet. Open it: hanok console {}.",
            s.id, s.name
        );
        Fault::new(Kind::NotImplemented, words)
    })
}

/// Refuses an action that only guests can do.
///
/// # Errors
/// `NotImplemented` (501), as Compute answers for what a driver cannot do.
pub fn refuse(s: &Server, action: &str) -> Result<()> {
    match GUESTS_ONLY.iter().find(|(name, _)| *name == action).filter(|_| is_machine(s)) {
        Some((_, what)) => Err(Fault::new(
            Kind::NotImplemented,
            format!("Server {} is a machine of its own, not a guest: it cannot {what}.", s.id),
        )),
        None => Ok(()),
    }
}
