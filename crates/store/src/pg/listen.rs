//! Passes the hints of other processes on.
//!
//! Hints may be lost while the connection is away, which is noticed within seconds: it is asked once a second
//! whether it lives. From then until a new one listens, [`Hearing`] says no and nobody relies on hints.
//!
//! A channel belongs to the whole database, a region to one schema of it: each schema has a channel of its own.

use super::{Shared, link::Manager};
use crate::change;
use crate::db::{Hearing, Hints, Topic};
use postgres::{Client, fallible_iterator::FallibleIterator};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often the connection is asked whether it lives.
const ASK: Duration = Duration::from_secs(1);
/// How long it may take to say so.
const ANSWER: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(500);
/// SQL for the name of our schema's channel. As a `name` it is cut to the 63 bytes that a channel may have; that
/// schemas with long names may then share one costs them needless looks, and no more.
pub const CHANNEL: &str =
    "CASE current_schema() WHEN 'public' THEN 'hanok' ELSE ('hanok_' || current_schema())::name::text END";

/// Runs for as long as the pool lives.
pub fn run(manager: &Manager, pool: &Weak<Shared>, hints: &Hints, hearing: &Hearing) {
    while pool.strong_count() > 0 {
        if let Ok(mut client) = manager.open()
            && listen(&mut client).is_ok()
        {
            hearing.set(true);
            // What was said until now went by.
            hints.tell(Topic::Missed);
            while pool.upgrade().is_some_and(|p| hear(&mut client, &p.tag, hints)) {}
            hearing.set(false);
            hints.tell(Topic::Missed);
        }
        std::thread::sleep(PAUSE);
    }
}

fn listen(client: &mut Client) -> Result<(), postgres::Error> {
    let listen = client.query_one(&format!("SELECT format('LISTEN %I', {CHANNEL})"), &[])?;
    client.batch_execute(listen.try_get(0)?)
}

/// Passes on what comes within a while; false when the connection is lost.
fn hear(client: &mut Client, tag: &str, hints: &Hints) -> bool {
    let since = Instant::now();
    let mut notes = client.notifications();
    let mut iter = notes.timeout_iter(ASK);
    loop {
        match iter.next() {
            Ok(Some(note)) => {
                if let Some(topic) = decode(note.payload(), tag) {
                    hints.tell(topic);
                }
            }
            Ok(None) => break,
            Err(_) => return false,
        }
        if since.elapsed() > ASK {
            break;
        }
    }
    drop(iter);
    drop(notes);
    client.is_valid(ANSWER).is_ok()
}

pub fn encode(topic: &Topic) -> String {
    match topic {
        Topic::Work => "work".into(),
        Topic::Identity => "identity".into(),
        Topic::Missed => "missed".into(),
        // Other processes tell it at once.
        Topic::Host(id) | Topic::Neighbour(id) => format!("host {id}"),
        Topic::Rack(id) => format!("rack {id}"),
        Topic::Machine(id) => format!("machine {id}"),
        Topic::Change(c) => change::encode(c),
    }
}

/// `None` for our own, which was heard at home already, and for words of another release.
fn decode(text: &str, own: &str) -> Option<Topic> {
    let (text, from) = text.rsplit_once(' ')?;
    if from == own {
        return None;
    }
    match text {
        "work" => Some(Topic::Work),
        "identity" => Some(Topic::Identity),
        "missed" => Some(Topic::Missed),
        _ => match text.split_once(' ')? {
            ("host", id) => Some(Topic::Host(id.parse().ok()?)),
            ("rack", id) => Some(Topic::Rack(id.parse().ok()?)),
            ("machine", id) => Some(Topic::Machine(id.parse().ok()?)),
            ("change", _) => Some(Topic::Change(Arc::new(change::decode(text)?))),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_of_others_are_read_and_our_own_are_not() {
        let host = base::HostId::new();
        let (rack, machine) = (base::RackId::new(), base::MachineId::new());
        let ids = [Topic::Host(host), Topic::Rack(rack), Topic::Machine(machine)];
        for topic in [Topic::Work, Topic::Identity, Topic::Missed].into_iter().chain(ids) {
            let sent = format!("{} me", encode(&topic));
            assert_eq!(decode(&sent, "you"), Some(topic));
            assert_eq!(decode(&sent, "me"), None);
        }
        assert_eq!(decode("weather fine", "me"), None);
    }
}
