//! What live systems and deployed machines ask; see [`base::doc::live`].
//!
//! The route table calls these open because they take no user's token: the boot token, the session or the
//! machine's own secret is the proof. Invariants: a live system comes through a rack, which says from which MAC it
//! asks; a boot token is good once, for the MACs of its machine, and again only until the session that came of it
//! was used, because an answer can be lost; a machine that is to be restarted is not let in before it was.

use super::rack::{number, passed_on_by, wait_until};
use crate::act::{hold, note, takes};
use crate::model::{BootWish, Machine, Status};
use crate::table::rack::{self, Rack};
use crate::table::session::{self, Session};
use crate::table::token::{self, BootToken};
use crate::table::{key, machine, nic, task};
use crate::{Metal, facts, token_hash};
use api::body::report as parse;
use api::{Reply, Req};
use axum::body::Body;
use base::doc::live::{Hello, Inventory, Report, Welcome, Work};
use base::doc::rack::ASKER_MAC;
use base::{Fault, Micros, Result};
use http::header;
use std::sync::Arc;
use std::time::Duration;
use store::log::Level;
use store::{Tx, work};
use tokio_util::io::ReaderStream;

/// How long an answer to a greeting may have been lost.
const AGAIN: Duration = Duration::from_secs(300);
const HELLO_MAX: usize = 1 << 16;
/// More than any machine has; each is kept as its own from then on.
const NICS_MAX: usize = 64;
const BODY_MAX: usize = 8 << 20;

fn bearer(req: &Req) -> Result<String> {
    let bearer = req.header("authorization").and_then(|v| v.strip_prefix("Bearer "));
    Ok(token_hash(bearer.ok_or_else(Fault::unauthorized)?.trim()))
}

fn refused(words: &str) -> Fault {
    Fault { message: words.to_owned(), ..Fault::unauthorized() }
}

/// The rack that passed a request on, and the MAC that it says asks.
struct Through {
    rack: Rack,
    mac: Option<String>,
}

fn through(tx: &Tx<'_>, proof: Option<&str>, mac: Option<&str>) -> Result<Through> {
    let rack = proof.map(|p| rack::by_proof(tx, p)).transpose()?.flatten();
    let rack = rack.ok_or_else(|| refused("Live systems ask through a rack controller."))?;
    Ok(Through { rack, mac: mac.map(nic::good_mac).transpose()? })
}

/// `POST /live/v1/hello`: a live system has come up.
pub async fn hello(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let (hash, proof) = (bearer(&req)?, passed_on_by(&req));
    let mac = req.header(ASKER_MAC).map(str::to_owned);
    let (check, said, asks) = (hash.clone(), proof.clone(), mac.clone());
    m.db.read(move |tx| {
        through(tx, said.as_deref(), asks.as_deref())?;
        token::by_hash(tx, &check)?.ok_or_else(|| refused("This boot token is not known here.")).map(drop)
    })
    .await?;
    let mut hello: Hello = parse(&req.bytes(HELLO_MAX).await?, "greeting")?;
    if hello.macs.len() > NICS_MAX {
        return Err(Fault::bad_request(format!("A machine has at most {NICS_MAX} network interfaces here.")));
    }
    hello.macs = hello.macs.iter().map(|m| nic::good_mac(m)).collect::<Result<_>>()?;
    let metal = m.clone();
    let welcome = m.db.write(move |tx| {
        let by = through(tx, proof.as_deref(), mac.as_deref())?;
        greet(&metal, tx, &by, &hash, &hello)
    });
    Reply::json_of(200, &welcome.await??)
}

/// The inner error is a refusal of which something was noted.
fn greet(metal: &Metal, tx: &Tx<'_>, by: &Through, hash: &str, hello: &Hello) -> Result<Result<Welcome>> {
    let t = token::by_hash(tx, hash)?.ok_or_else(|| refused("This boot token is not known here."))?;
    its_own(tx, &t, by, hello)?;
    let m = match t.machine {
        Some(id) => was_restarted(hold(tx, id)?)?,
        None => match metal.enlist(tx, hello, &t.mac, by.rack.id, t.segment)? {
            Ok(m) => m,
            Err(refusal) => return Ok(Err(refusal)),
        },
    };
    let fresh = token::spend(tx, hash, m.id)?;
    if !fresh && !answer_was_lost(tx, &t, &m)? {
        return Err(refused(
            "This boot token was used already, and each is good once. Start the machine again.",
        ));
    }
    let secret = token::secret();
    // Asked a second time because the answer was lost, it may have let its owner in the first time.
    let lent_before = session::of(tx, m.id)?.is_some_and(|s| s.lent && s.boot_hash == hash);
    session::begin(tx, m.id, &token_hash(&secret), hash, hello)?;
    if lent_before || is_lent(&m) {
        session::lend(tx, m.id)?;
    }
    // Should it start once more, another token is ready.
    token::of_machine(tx, &*metal.seal, m.id)?;
    // Its owner's word changes nothing of what the machine is known by.
    if !is_lent(&m) {
        for (n, mac) in hello.macs.iter().enumerate() {
            if takes(tx, &m, mac, false)? && n == 0 {
                nic::started_from(tx, m.id, mac, t.segment)?;
            }
        }
        describe(tx, &m, hello)?;
    }
    arrived(tx, &m, by)?;
    begin_anew(metal, tx, &m)?;
    note(tx, Level::Info, &m, "live", &format!("its live system is up at {}", hello.address))?;
    work::wake(tx, &m.id.to_string())?;
    rack::touch_of(tx, m.id)?;
    let ssh_keys = keys(tx, &m)?;
    Ok(Ok(Welcome { machine: m.id, name: m.name.clone(), session: secret, ssh_keys, now: Micros::now().0 }))
}

/// Nobody says hello as a live system of a machine that is to start something else.
///
/// Until a restart that was asked for is carried out, what runs there is what ran before: the system of the machine's owner
/// can ask for a token as well as a live system does. (Where nothing reads the power nobody knows, and a greeting is taken
/// for the restart.)
fn was_restarted(m: Machine) -> Result<Machine> {
    if m.boot != BootWish::Live {
        return Err(refused("This machine is not to start the live system now. Start it again."));
    }
    if m.blind() || m.seen.cycles >= m.power_cycles {
        return Ok(m);
    }
    Err(Fault::conflict(
        "This machine is going to be restarted, and is let in when it was. Ask again in a moment; where its BMC cannot \
         restart it, say that a person does (--power manual).",
    ))
}

/// The token is for the machine that shows it.
fn its_own(tx: &Tx<'_>, t: &BootToken, by: &Through, hello: &Hello) -> Result<()> {
    if t.expires_at.0 > 0 && t.expires_at <= Micros::now() {
        return Err(refused("This boot token has expired. Start the machine again."));
    }
    let own: Vec<String> = match t.machine {
        Some(id) => nic::of(tx, id)?.into_iter().map(|n| n.mac).collect(),
        None => vec![t.mac.clone()],
    };
    let shown = hello.macs.iter().any(|m| own.contains(m));
    let other = refused("This boot token is another machine's.");
    if !shown {
        return Err(other);
    }
    // Whoever could fetch a token has shown its card to the rack. One who hides it now is not who did.
    let Some(mac) = by.mac.as_ref() else { return Err(other) };
    if own.contains(mac) {
        return Ok(());
    }
    // One may ask by another NIC than it started from, which nobody has told of yet. Of what somebody has all NICs are known.
    let nobodys = match t.machine {
        Some(id) => !hold(tx, id)?.owned() && machine::by_mac(tx, mac)?.is_none(),
        None => true,
    };
    if nobodys && hello.macs.contains(mac) { Ok(()) } else { Err(other) }
}

fn answer_was_lost(tx: &Tx<'_>, t: &BootToken, m: &Machine) -> Result<bool> {
    let recent = t.used_at.is_some_and(|at| Micros::now().since(at) < AGAIN);
    Ok(recent && session::of(tx, m.id)?.is_some_and(|s| s.boot_hash == t.hash && !s.used))
}

fn describe(tx: &Tx<'_>, m: &Machine, hello: &Hello) -> Result<()> {
    machine::set(tx, m.id, "uefi", hello.uefi)?;
    for (column, value) in [("uuid", &hello.uuid.to_lowercase()), ("serial", &hello.serial)] {
        if !value.is_empty() {
            machine::set(tx, m.id, column, value)?;
        }
    }
    Ok(())
}

fn arrived(tx: &Tx<'_>, m: &Machine, by: &Through) -> Result<()> {
    if m.rack != Some(by.rack.id) {
        rack::touch_of(tx, m.id)?;
        machine::set(tx, m.id, "rack_id", by.rack.id)?;
    }
    // What talks to us is on.
    if m.blind() || m.seen.power.is_none() {
        machine::say_power(tx, m, true)?;
    }
    Ok(())
}

/// A live system that has just come up begins its task anew; an order to leave was for the last one, and what nobody asks
/// any more, such as an owner's image after the machine was given back, for nobody.
fn begin_anew(metal: &Metal, tx: &Tx<'_>, m: &Machine) -> Result<()> {
    let Some(told) = task::newer(tx, &*metal.seal, m.id, 0)? else { return Ok(()) };
    let asked = match told.work {
        Work::Reboot | Work::PowerOff => false,
        Work::Write(_) => m.status == Status::Deploying,
        // One that is new is looked at without being asked for.
        Work::Inventory if m.status == Status::New => true,
        _ => m.status.busy(),
    };
    if asked {
        return task::again(tx, m.id);
    }
    task::tell(tx, &*metal.seal, m.id, told.number + 1, &Work::Idle)
}

fn in_rescue(m: &Machine) -> bool {
    matches!(m.status, Status::EnteringRescue | Status::RescueMode)
}

/// What says hello may be its owner's. Also where the owner has no key now: one who was let in before, and has taken it
/// back since, could say hello once more as a live system that nobody was let into.
fn is_lent(m: &Machine) -> bool {
    in_rescue(m) && m.owned()
}

/// Operators may log in; in rescue mode so may the machine's owner.
fn keys(tx: &Tx<'_>, m: &Machine) -> Result<Vec<String>> {
    let mut keys = key::operators(tx)?;
    if in_rescue(m) {
        keys.extend(key::of(tx, &m.user)?.into_iter().map(|k| k.key));
    }
    Ok(keys)
}

/// The session, if the rack that passes it on does not say that another machine shows it.
fn known(tx: &Tx<'_>, hash: &str, proof: Option<&str>, mac: Option<&str>) -> Result<Session> {
    let s = session::by_hash(tx, hash)?.ok_or_else(Fault::unauthorized)?;
    if proof.is_some()
        && let Ok(Through { mac: Some(mac), .. }) = through(tx, proof, mac)
        && !nic::of(tx, s.machine)?.iter().any(|n| n.mac == mac)
    {
        return Err(refused("This session is another machine's."));
    }
    Ok(s)
}

/// Who asks with a session.
struct Asker {
    hash: String,
    proof: Option<String>,
    mac: Option<String>,
}

impl Asker {
    fn of(req: &Req) -> Result<Asker> {
        let mac = req.header(ASKER_MAC).map(str::to_owned);
        Ok(Asker { hash: bearer(req)?, proof: passed_on_by(req), mac })
    }
    fn session(&self, tx: &Tx<'_>) -> Result<Session> {
        known(tx, &self.hash, self.proof.as_deref(), self.mac.as_deref())
    }
}

/// How old a note of when a live system was heard may be.
const HEARD_LAG: Duration = Duration::from_secs(10);

/// `GET /live/v1/task?since=N&wait=S`: the task when newer than N, else 204 after S seconds.
pub async fn task(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let (asker, since, until) = (Arc::new(Asker::of(&req)?), number(&req, "since")?, wait_until(&req)?);
    let who = asker.clone();
    let s = m.db.read(move |tx| who.session(tx)).await?;
    if !s.used || Micros::now().since(s.seen_at) > HEARD_LAG {
        m.db.write(move |tx| session::seen(tx, s.machine)).await?;
    }
    let bell = m.bells.of(s.machine.0);
    loop {
        let mut told = std::pin::pin!(bell.notified());
        told.as_mut().enable();
        let (metal, who) = (m.clone(), asker.clone());
        let task = m.db.read(move |tx| task::newer(tx, &*metal.seal, who.session(tx)?.machine, since));
        if let Some(task) = task.await? {
            return Reply::json_of(200, &task);
        }
        tokio::select! {
            () = told => {}
            () = tokio::time::sleep_until(until) => return Ok(Reply::empty(204)),
        }
    }
}

/// `PUT /live/v1/report`: how the task goes.
pub async fn report(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let asker = Arc::new(Asker::of(&req)?);
    let who = asker.clone();
    m.db.read(move |tx| who.session(tx).map(drop)).await?;
    let report: Report = parse(&req.bytes(BODY_MAX).await?, "report")?;
    m.db.write(move |tx| {
        let s = asker.session(tx)?;
        let before = task::progress(tx, s.machine)?.and_then(|p| p.stage);
        work::hold(tx, &s.machine.to_string())?;
        session::seen(tx, s.machine)?;
        // What is shown of a machine under way is read when somebody asks.
        if task::report(tx, s.machine, &report)? && before != Some(report.stage) {
            work::wake(tx, &s.machine.to_string())?;
        }
        Ok(())
    })
    .await?;
    Ok(Reply::empty(204))
}

/// What a live system says of its machine that the machine's owner was let into, the owner may say; and what somebody has
/// is not measured.
fn own_words(tx: &Tx<'_>, s: &Session) -> Result<()> {
    if s.lent || machine::by_id(tx, s.machine)?.is_some_and(|m| m.owned()) {
        return Err(Fault::forbidden(
            "The machine is somebody's, who may have been let into this live system, so it does not say what the machine is made of.",
        ));
    }
    Ok(())
}

/// `PUT /live/v1/inventory`: what the machine is made of.
pub async fn inventory(m: Arc<Metal>, mut req: Req) -> Result<Reply> {
    let asker = Arc::new(Asker::of(&req)?);
    let who = asker.clone();
    m.db.read(move |tx| own_words(tx, &who.session(tx)?)).await?;
    let found: Inventory = parse(&req.bytes(BODY_MAX).await?, "inventory")?;
    m.db.write(move |tx| {
        let s = asker.session(tx)?;
        own_words(tx, &s)?;
        let before = hold(tx, s.machine)?;
        session::seen(tx, s.machine)?;
        facts::settle(tx, &before, &found)?;
        let words = format!(
            "measured: {} threads, {} MiB, {} disks",
            found.cpu.threads,
            found.memory_mib,
            found.disks.len()
        );
        note(tx, Level::Info, &before, "inventory", &words)?;
        work::wake(tx, &s.machine.to_string())?;
        rack::touch_of(tx, s.machine)
    })
    .await?;
    Ok(Reply::empty(204))
}

/// `POST /live/v1/booted/{secret}`: a deployed system says that it is up.
pub async fn booted(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let (secret, metal) = (req.text_param("secret").to_owned(), m.clone());
    m.db.write(move |tx| metal.booted(tx, &secret).map(drop)).await?;
    Ok(Reply::empty(204))
}

/// `GET /live/v1/program/{secret}`: this program, for a machine that becomes a host.
pub async fn program(m: Arc<Metal>, req: Req) -> Result<Reply> {
    let secret = req.text_param("secret").to_owned();
    let found = m.db.read(move |tx| machine::by_booted_hash(tx, &token_hash(&secret))).await?;
    found.filter(|m| m.as_host).ok_or_else(Fault::unauthorized)?;
    let file = tokio::fs::File::open("/proc/self/exe").await?;
    let length = file.metadata().await?.len();
    let body = Body::from_stream(ReaderStream::with_capacity(file, 256 << 10));
    let mut reply = Reply::text(200, "application/octet-stream", body);
    reply.headers.insert(header::CONTENT_LENGTH, length.into());
    Ok(reply)
}
