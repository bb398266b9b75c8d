//! Putting a system onto a machine.

use super::{hold, note};
use crate::model::{Deploy, Errand, Machine, Seed, Status};
use crate::table::{address, disk, machine, nic, segment, token};
use crate::{Metal, token_hash};
use api::Auth;
use base::{Fault, ImageId, MachineId, Result, ServerId};
use store::Tx;
use store::log::Level;

/// What is to be on a machine.
#[derive(Debug, Clone)]
pub struct Installation {
    pub image: ImageId,
    pub seed: Seed,
    /// A disk's id or kernel name; empty: chosen by the live system, solid state before spinning.
    pub disk: String,
    /// Counts as deployed only once the new system has said that it is up.
    pub wait_for_system: bool,
    /// It becomes a host that runs guests.
    pub as_host: bool,
}

/// Debian packages that a host needs beside this program.
pub const HOST_PACKAGES: &str = "qemu-system-x86 qemu-utils seabios genisoimage nftables conntrack iproute2";
/// The image that a machine gets that becomes a host: the first of these that there is. The first has the packages, so
/// that a host needs no mirror of Debian.
pub const HOST_IMAGES: [&str; 2] = ["debian-12-host", "debian-12"];

/// By which a machine holds image content, which servers hold too.
pub fn holder(id: MachineId) -> ServerId {
    ServerId(id.0)
}

impl Metal {
    /// Writes an image onto an allocated machine's disk and starts it from there. `auth` must see the image.
    ///
    /// # Errors
    /// `BadRequest` for an image that no machine starts from or that no disk is large enough for; `Conflict`
    /// from a state in which it cannot be.
    pub fn deploy(&self, tx: &Tx<'_>, auth: &Auth, id: MachineId, what: Installation) -> Result<Machine> {
        let m = hold(tx, id)?;
        let found = image::for_boot(tx, auth, what.image)?;
        let disk = chosen_disk(tx, &m, &what.disk, found.virtual_size)?;
        let name = tx
            .opt("SELECT name FROM image WHERE id = $1", store::params![what.image], |r| {
                r.get::<Option<String>>(0)
            })?
            .flatten()
            .unwrap_or_else(|| what.image.to_string());
        let errand = Deploy {
            image: what.image,
            image_name: name,
            sha512: found.source.sha512,
            format: found.source.format,
            bytes: found.source.bytes,
            virtual_size: found.virtual_size,
            disk,
            seed: what.seed,
            as_host: what.as_host,
            wait_for_system: what.wait_for_system,
        };
        self.install(tx, id, errand)
    }

    /// As [`Metal::deploy`], where it is known what is to be written.
    ///
    /// # Errors
    /// `Conflict` from a state in which it cannot be.
    pub fn install(&self, tx: &Tx<'_>, id: MachineId, errand: Deploy) -> Result<Machine> {
        let m = hold(tx, id)?;
        image::hold(tx, holder(id), &errand.sha512)?;
        content(tx, &errand)?;
        // A server has the addresses of its ports.
        if errand.seed.drive.is_empty() {
            give_addresses(tx, &m)?;
        }
        machine::set(tx, id, "image_id", errand.image.to_string())?;
        machine::set(tx, id, "image_name", &errand.image_name)?;
        machine::set(tx, id, "image_sha512", &errand.sha512)?;
        machine::set(tx, id, "as_host", errand.as_host)?;
        machine::set(tx, id, "booted_at", 0_i64)?;
        let words = format!("{} is going to be written", errand.image_name);
        self.send(tx, &m, Status::Deploying, &Errand::Deploy(Box::new(errand)), &words)
    }

    /// Makes a discovered machine a host that runs guests: it is given to the administrator who approves it, a
    /// Debian is written, and that joins by itself.
    ///
    /// # Errors
    /// `Conflict` when it is not suited, or busy; `BadRequest` when there is no image for it.
    pub fn approve_as_host(
        &self,
        tx: &Tx<'_>,
        auth: &Auth,
        id: MachineId,
        image: Option<ImageId>,
    ) -> Result<Machine> {
        let m = hold(tx, id)?;
        let found = self.inventory(tx, id)?.ok_or_else(|| {
            Fault::conflict(format!("{} was not measured yet: hanok machine commission {}", m.name, m.name))
        })?;
        if let Some(v) = found.verdicts.iter().find(|v| v.what == "host" && !v.ok) {
            return Err(Fault::conflict(format!("{} cannot be a host: {}.", m.name, v.reason)));
        }
        let owner = super::Owner {
            project: auth.project()?.clone(),
            user: auth.user.id.clone(),
            agent_name: String::new(),
        };
        free_for_host(&m, &owner)?;
        if m.status == Status::New {
            machine::set_status(tx, id, Status::Ready, "approved")?;
        }
        if matches!(m.status, Status::New | Status::Ready) {
            let only = crate::model::Constraints { id: Some(id), ..Default::default() };
            self.allocate(tx, &only, &owner)?;
        }
        let image = image.map_or_else(|| host_image(tx), Ok)?;
        let what = Installation {
            image,
            seed: Seed::default(),
            disk: String::new(),
            wait_for_system: true,
            as_host: true,
        };
        self.deploy(tx, auth, id, what)
    }

    /// A deployed system says that it is up.
    ///
    /// # Errors
    /// `Unauthorized` for a secret that no machine has.
    pub fn booted(&self, tx: &Tx<'_>, secret: &str) -> Result<Machine> {
        let m = machine::by_booted_hash(tx, &token_hash(secret))?.ok_or_else(Fault::unauthorized)?;
        self.is_up(tx, m.id)
    }

    /// The same, where something else proved which machine it is.
    pub fn is_up(&self, tx: &Tx<'_>, id: MachineId) -> Result<Machine> {
        let m = hold(tx, id)?;
        if m.booted_at.0 == 0 {
            machine::set(tx, id, "booted_at", base::Micros::now())?;
            note(tx, Level::Info, &m, "booted", "the deployed system says that it is up")?;
            self.wake(tx, id)?;
        }
        hold(tx, id)
    }

    /// A new secret by which the deployed system will say that it is up.
    pub(crate) fn booted_secret() -> String {
        token::secret()
    }
}

/// Approving a machine overwrites its disk, so it is nobody's, or its owner's who has nothing there yet.
///
/// # Errors
/// `Conflict`, and what to do first.
fn free_for_host(m: &Machine, who: &super::Owner) -> Result<()> {
    let bare = matches!(m.status, Status::Allocated | Status::FailedDeployment) && m.deployed_at.0 == 0;
    let own = bare && m.project == who.project;
    if own || matches!(m.status, Status::New | Status::Ready) {
        return Ok(());
    }
    let (name, status) = (&m.name, m.status.name());
    Err(Fault::conflict(match m.status {
        _ if m.owned() => format!(
            "{name} is {status} and belongs to the project {}, and as a host its disk would be overwritten. Release it \
             first, then approve it.",
            m.project
        ),
        busy if busy.busy() => format!("{name} is {status}. Approve it when that is over."),
        Status::Broken => format!("{name} is {status}. Mark it fixed first, then approve it."),
        _ => format!(
            "{name} is {status}. Commission it first (hanok machine commission {name}), then approve it."
        ),
    }))
}

fn host_image(tx: &Tx<'_>) -> Result<ImageId> {
    let sql = "SELECT id FROM image WHERE name = $1 AND status = 'active' ORDER BY created_at DESC LIMIT 1";
    for name in HOST_IMAGES {
        if let Some(found) = tx.opt(sql, store::params![name], |r| r.get(0))? {
            return Ok(found);
        }
    }
    let [name, _] = HOST_IMAGES;
    Err(Fault::bad_request(format!(
        "There is no image {name} for hosts. Make it (hanok image build {name}), upload it under that name, or name \
         another image."
    )))
}

/// Racks are told of it by these.
fn content(tx: &Tx<'_>, d: &Deploy) -> Result<()> {
    let sql = "INSERT INTO metal_content (sha512, format, size) VALUES ($1, $2, $3)
               ON CONFLICT (sha512) DO UPDATE SET format = excluded.format, size = excluded.size";
    tx.exec(sql, store::params![&d.sha512, &d.format, d.bytes]).map(drop)
}

/// The disk that is meant, by id; empty where the live system chooses.
fn chosen_disk(tx: &Tx<'_>, m: &Machine, wish: &str, needed: u64) -> Result<String> {
    let disks = disk::of(tx, m.id)?;
    let gib = |bytes: u64| match bytes >> 30 {
        0..10 => format!("{} MiB", bytes.div_ceil(1 << 20)),
        _ => format!("{} GiB", bytes.div_ceil(1 << 30)),
    };
    if wish.is_empty() {
        let largest = disks.iter().filter(|d| !d.removable).map(|d| d.size_bytes).max();
        return match largest {
            Some(largest) if largest < needed => Err(Fault::bad_request(format!(
                "No disk of {} is large enough: the image needs {} and the largest disk has {}. Choose a \
                 smaller image or another machine.",
                m.name,
                gib(needed),
                gib(largest)
            ))),
            _ => by_role(&disks, needed),
        };
    }
    let Some(d) = disks.iter().find(|d| d.id == wish || d.name == wish || d.number.to_string() == wish)
    else {
        return Err(Fault::bad_request(format!(
            "{} has no disk {wish:?}. It has: {}.",
            m.name,
            disks.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ")
        )));
    };
    if d.removable {
        return Err(Fault::bad_request(format!(
            "The disk {} of {} is removable, and such disks are not erased when the machine is given back. Name another.",
            d.name, m.name
        )));
    }
    if d.size_bytes < needed {
        return Err(Fault::bad_request(format!(
            "The disk {} of {} is too small: the image needs {} and it has {}.",
            d.name,
            m.name,
            gib(needed),
            gib(d.size_bytes)
        )));
    }
    Ok(d.id.clone())
}

/// A disk that somebody chose to start from goes before what the live system would choose.
fn by_role(disks: &[crate::model::Disk], needed: u64) -> Result<String> {
    let fits = |d: &&crate::model::Disk| !d.removable && d.size_bytes >= needed;
    let by_hand = disks.iter().filter(|d| d.role_by_hand && d.role == "boot").filter(fits);
    Ok(by_hand.min_by_key(|d| d.size_bytes).map(|d| d.id.clone()).unwrap_or_default())
}

/// The NIC that it starts from gets an address of each subnet of its segment, to keep for as long as it is
/// deployed. Beside somebody else's DHCP server addresses are theirs to give.
fn give_addresses(tx: &Tx<'_>, m: &Machine) -> Result<()> {
    for n in nic::of(tx, m.id)?.iter().filter(|n| n.boot) {
        let Some(segment) = n.segment.map(|s| segment::by_id(tx, s)).transpose()?.flatten() else { continue };
        if segment.dhcp != base::doc::rack::DhcpMode::Serve {
            continue;
        }
        for subnet in segment::subnets_of(tx, segment.id)? {
            address::give(tx, n, &subnet)?;
        }
    }
    Ok(())
}
