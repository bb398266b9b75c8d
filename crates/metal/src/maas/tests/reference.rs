//! Writes `docs/reference/maas.md` from the table of contents and keeps it true. HANOK_UPDATE=1 writes it anew.

use crate::maas::{contents, front};
use api::Rule;
use std::fmt::Write as _;
use std::path::PathBuf;

const HEAD: &str = "# The MAAS API 2.0: every call\n\nWritten by a test from the table of contents that requests are led by. \
    How to use it: [maas-clients.md](../howto/maas-clients.md).\n\nThe last column is who may: `open` needs no key, \
    `reader` any key, `member` and `admin` a key of somebody who is that in\nthe key's project. Paths work with \
    and without the slash at the end.\n\n| method | path | operation | what | who |\n|---|---|---|---|---|\n";

const REFUSED: &str = "\n## What is refused for good\n\nThese are there in MAAS and answer 501 here, with the words of the last \
    column as text, to everybody who may ask.\n\n| method | path | operation | why, and what to do instead |\n\
    |---|---|---|---|\n";

const GONE: &str = "\n## What is not there at all\n\nEverything under these paths.\n\n| path | status | why, and what to do instead \
    |\n|---|---|---|\n";

fn page() -> String {
    let mut page = String::from(HEAD);
    let (mut refused, mut gone) = (String::from(REFUSED), String::from(GONE));
    for r in contents::table().resources {
        for a in &r.actions {
            let who = match a.rule {
                Rule::Open => "open".to_owned(),
                Rule::Role(level) => format!("{level:?}").to_lowercase(),
                other => format!("{other:?}").to_lowercase(),
            };
            let op = if a.op.is_empty() { String::new() } else { format!("`op={}`", a.op) };
            if a.refused {
                writeln!(refused, "| {} | `{}` | {op} | {} |", a.method, r.path, a.doc).unwrap();
            } else {
                writeln!(page, "| {} | `{}` | {op} | {} | {who} |", a.method, r.path, a.doc).unwrap();
            }
        }
    }
    for (name, kind, why) in front::REFUSED {
        let status = api::Style::Maas.status(*kind);
        writeln!(gone, "| `{}{name}/` | {status} | {why} |", super::API).unwrap();
    }
    page + &refused + &gone
}

#[test]
fn the_reference_is_in_step_with_the_table() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/maas.md");
    if std::env::var_os("HANOK_UPDATE").is_some() {
        std::fs::write(file, page()).unwrap();
        return;
    }
    assert!(std::fs::read_to_string(file).unwrap() == page(), "run this test with HANOK_UPDATE=1");
}

/// One way to say an operation, and no two actions that a request could mean.
#[test]
fn no_action_is_there_twice() {
    let mut seen = std::collections::BTreeSet::new();
    for listed in contents::table().list() {
        let key = format!("{} {}", listed.method, listed.path);
        assert!(seen.insert(key.clone()), "{key}");
    }
}
