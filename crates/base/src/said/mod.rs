//! Sentences by code: what Hanok says of its own work (why something waits, what happened, what the doctor found) is
//! English, whichever process says it and whenever it was written down. For a page in another language this finds the
//! code of a sentence and the parts that were filled in.
//!
//! Invariants: `words.txt` holds every such sentence once, with holes where something is filled in; a code stays the
//! same when the sentence is worded anew; what is not in it has no code and is shown as it is. The portal's dictionary
//! has the same codes in its languages, which its tests compare with this list.

use serde::Serialize;
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A sentence and what is filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    pub code: &'static str,
    pub args: BTreeMap<&'static str, Arg>,
}

/// How something is: what it is called, its status as its API shows it, and a sentence of why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub name: Option<String>,
    pub status: Option<&'static str>,
    pub reason: String,
}

/// What stands in a hole: a text, or sentences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Arg {
    Text(String),
    Said(Vec<Said>),
}

/// Fields of answers that hold such sentences.
const FIELDS: [&str; 11] = [
    "reason",
    "message",
    "last_error",
    "to_do",
    "power_reason",
    "what",
    "why",
    "fault",
    "advice",
    "does",
    "given_up",
];
/// Longer texts are no sentences of ours.
const LONGEST: usize = 800;
/// Sentences within sentences.
const DEEPEST: u8 = 4;
/// Pieces of a text that are looked at before it is taken for none of ours: somebody else's may be cut in many ways.
const TRIES: u32 = 300;

/// What is left of both.
#[derive(Debug, Clone, Copy)]
struct Left<'a> {
    depth: u8,
    tries: &'a Cell<u32>,
}

/// The sentences of a text, one after another; `None` when not all of it is known.
pub fn read(text: &str) -> Option<Vec<Said>> {
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    several(text, Left { depth: DEEPEST, tries: &Cell::new(TRIES) })
}

/// Beside every sentence of an answer, its codes: `{"reason": "…", "said": {"reason": [{"code", "args"}]}}`.
pub fn annotate(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(annotate),
        Value::Object(map) => {
            let known = FIELDS.iter().filter_map(|field| {
                let said = read(map.get(*field)?.as_str()?)?;
                Some(((*field).to_owned(), json!(said)))
            });
            let known: Map<String, Value> = known.collect();
            map.values_mut().for_each(annotate);
            if !known.is_empty() {
                map.insert("said".into(), Value::Object(known));
            }
        }
        _ => {}
    }
}

/// A sentence as `words.txt` has it.
#[derive(Debug)]
struct Template {
    code: &'static str,
    /// The text before the first hole.
    start: &'static str,
    /// Each hole, and the text after it.
    holes: Vec<(Hole, &'static str)>,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    name: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// Digits.
    Number,
    MayBeSaid,
    IsSaid,
}

static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let lines = include_str!("words.txt").lines();
    lines.filter_map(|line| line.split_once('\t')).map(|(code, text)| template(code, text)).collect()
});

fn template(code: &'static str, text: &'static str) -> Template {
    let mut parts = text.split('{');
    let start = parts.next().unwrap_or_default();
    let holes = parts.filter_map(|part| {
        let (name, after) = part.split_once('}')?;
        let kind = match name.as_bytes().last() {
            Some(b':') => Kind::IsSaid,
            Some(b'?') => Kind::MayBeSaid,
            _ if name == "n" => Kind::Number,
            _ => Kind::Text,
        };
        Some((Hole { name: name.trim_end_matches([':', '?']), kind }, after))
    });
    Template { code, start, holes: holes.collect() }
}

fn several(text: &str, left: Left<'_>) -> Option<Vec<Said>> {
    if let Some(said) = one(text, left) {
        return Some(vec![said]);
    }
    // Several that were put together.
    for between in ["; ", ". ", "? ", ", "] {
        for (at, _) in text.match_indices(between) {
            // The mark at the end of a sentence belongs to it.
            let end = if between.starts_with(['.', '?']) { at + 1 } else { at };
            let (first, rest) = (&text[..end], &text[at + between.len()..]);
            let Some(first) = one(first, left) else { continue };
            if let Some(rest) = several(rest, left) {
                return Some([vec![first], rest].concat());
            }
        }
    }
    None
}

fn one(text: &str, left: Left<'_>) -> Option<Said> {
    left.tries.set(left.tries.get().checked_sub(1)?);
    TEMPLATES.iter().find_map(|t| {
        let rest = text.strip_prefix(t.start)?;
        let mut args = BTreeMap::new();
        fill(&t.holes, rest, left, &mut args).then_some(Said { code: t.code, args })
    })
}

/// Whether the holes can be filled so that nothing is left over.
fn fill(
    holes: &[(Hole, &'static str)],
    text: &str,
    left: Left<'_>,
    args: &mut BTreeMap<&'static str, Arg>,
) -> bool {
    let Some(((hole, after), more)) = holes.split_first() else { return text.is_empty() };
    let mut ends: Vec<usize> = match (after.is_empty(), more.is_empty()) {
        (true, true) => vec![text.len()],
        _ => text.match_indices(after).map(|(at, _)| at).collect(),
    };
    if more.is_empty() {
        ends.retain(|at| at + after.len() == text.len());
    }
    ends.into_iter().filter(|at| *at > 0).any(|at| {
        let Some(arg) = arg(hole.kind, &text[..at], left) else { return false };
        args.insert(hole.name, arg);
        fill(more, &text[at + after.len()..], left, args)
    })
}

fn arg(kind: Kind, text: &str, left: Left<'_>) -> Option<Arg> {
    let said =
        || left.depth.checked_sub(1).and_then(|depth| several(text, Left { depth, ..left })).map(Arg::Said);
    match kind {
        Kind::Text => Some(Arg::Text(text.to_owned())),
        Kind::Number => text.bytes().all(|b| b.is_ascii_digit()).then(|| Arg::Text(text.to_owned())),
        Kind::IsSaid => said(),
        Kind::MayBeSaid => said().or_else(|| Some(Arg::Text(text.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn codes(text: &str) -> Vec<&'static str> {
        read(text).unwrap_or_default().iter().map(|s| s.code).collect()
    }
    fn text(value: &str) -> Arg {
        Arg::Text(value.to_owned())
    }

    #[test]
    fn a_sentence_has_its_code_and_parts() {
        let said = read("waiting for the guest to stop; the host h1 says: shutting down").unwrap();
        assert_eq!(said[0].code, "wait.host_says");
        assert_eq!(said[0].args["host"], text("h1"));
        let inner = |name: &str| match &said[0].args[name] {
            Arg::Said(list) => list[0].code,
            Arg::Text(text) => panic!("{text}"),
        };
        assert_eq!((inner("what"), inner("says")), ("wait.stop", "guest.shutting_down"));
        let said = read("waiting for the guest to stop; the host h1 says: something new").unwrap();
        assert_eq!(said[0].args["says"], text("something new"));
        assert_eq!(read("something new"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn several_sentences_are_read_one_after_another() {
        let place =
            "No valid host was found. 3 hosts: 1 is disabled, 2 lack memory (512 MiB asked, at most 3 free).";
        assert_eq!(codes(place), ["place.none", "place.hosts"]);
        let Arg::Said(list) = read(place).unwrap()[1].args["list"].clone() else { panic!() };
        assert_eq!(list.iter().map(|s| s.code).collect::<Vec<_>>(), ["place.disabled", "place.memory_many"]);
        let rule = "its NIC on VLAN 100 of office (802.1Q in the host's kernel: load the module 8021q there and restart the agent)";
        let ruled = read(&format!("No valid host was found. 1 host: 1 is ruled out by {rule}.")).unwrap();
        let Arg::Said(list) = ruled[1].args["list"].clone() else { panic!() };
        let Arg::Said(rule) = list[0].args["rule"].clone() else { panic!() };
        assert_eq!((rule[0].code, rule[0].args["segment"].clone()), ("place.rule_vlan", text("100")));
        assert_eq!(codes(&format!("{place} Waiting a moment for the silent ones.")).len(), 3);
        assert_eq!(codes("it has no disk; no network interface has a link"), ["machine.and"]);
        assert_eq!(codes("waiting for its live system; its rack r is silent"), ["machine.and"]);
    }

    #[test]
    fn what_is_put_together_of_parts_is_read_too() {
        for (said, code) in [
            ("a has no port security: everything goes in from 10.1.0.5", "reach.open_in"),
            ("A security group lets tcp to port 22 in from 10.1.0.5", "reach.group_in"),
            ("The access list of lan lets replies out to 10.1.0.5 (rule 7)", "reach.list_out"),
            ("the memory test failed: 3 errors", "machine.test_failed"),
            ("the diskread test of sda failed: 3 errors", "machine.test_part_failed"),
            ("The source h1 has gone silent.", "move.source_silent"),
            ("h1 sends it to h2: 3 of 9 MiB", "move.sends_so_far"),
            ("please switch it off, then say so: hanok machine done pc1", "machine.please_off"),
            ("2 of 3 network cards have a link, the fastest at 1000 Mbit/s.", "fit.cards_speed"),
            ("server 7f (waiting for the guest to stop (host h1))", "doctor.job"),
            ("Writing 900 MiB to sda (wwn-7). (3 of 9 MiB, 33 %)", "machine.far"),
            ("QEMU ended at once (exit status: 1): no such device; trying again in 8 s", "guest.again"),
            ("QEMU refused device_add: Bus 'pci.0' not found", "guest.command_refused"),
            (
                "The BMC 10.0.0.9 does not let user root switch power; make it an operator there.",
                "power.no_operator",
            ),
            (
                "The BMC 10.0.0.9 does not let user root set where the machine boots from; make it an operator there.",
                "power.may_not",
            ),
            ("The BMC 10.0.0.9 is busy and did not switch the machine on.", "power.busy"),
            (
                "The BMC 10.0.0.9 refuses the password of user root, or wants a key (K_g) besides; clear that key.",
                "power.password_or_key",
            ),
            ("The BMC https://b did not switch the machine on (500 Oops): no fan.", "power.redfish_says"),
            (
                "The disk sda (wwn-7) is too small: it has 9 MiB, the image needs 12 MiB. Take a smaller image or a larger disk.",
                "live.disk_small",
            ),
            (
                "The disk says that it is well (31 hours in use, 2 sectors were replaced by spare ones).",
                "live.well",
            ),
            ("http://10.0.0.1 does not answer (refused)", "live.rack_silent"),
            ("cert.pem has expired, b.pem cannot be read.", "said.all"),
        ] {
            assert_eq!(codes(said), [code], "{said}");
        }
    }

    #[test]
    fn every_sentence_is_read_as_itself() {
        let mut seen = BTreeSet::new();
        for t in TEMPLATES.iter() {
            assert!(seen.insert(t.code), "{} stands twice", t.code);
            let fit = |kind| match kind {
                Kind::IsSaid => "it is locked",
                Kind::Number => "7",
                Kind::Text | Kind::MayBeSaid => "seven",
            };
            let whole = t.holes.iter().fold(t.start.to_owned(), |all, (h, after)| all + fit(h.kind) + after);
            assert_eq!(codes(&whole), [t.code], "{whole}");
        }
        assert!(seen.len() > 200, "{}", seen.len());
    }

    #[test]
    fn answers_have_codes_beside_their_sentences() {
        let mut v =
            json!({"work": [{"reason": "waiting for the guest to start", "name": "x"}], "message": "?"});
        annotate(&mut v);
        assert_eq!(v["work"][0]["said"], json!({"reason": [{"code": "wait.start", "args": {}}]}));
        assert!(v.get("said").is_none());
    }

    #[test]
    fn what_can_be_cut_in_many_ways_takes_no_time() {
        let text = "nobody, knows. of and; it is locked; ".repeat(20);
        assert_eq!(read(&text), None);
        assert_eq!(codes(&format!("it is locked; {text}")), ["machine.and"]);
    }
}
