//! Tests of the repository itself: file length, links in documents, marks, routes without a token.

use api::{Listed, Rule};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn files(dir: &Path, suffix: &str, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir()
            && !name.starts_with('.')
            && !["target", "data", "node_modules", "dist"].contains(&name.as_str())
        {
            files(&path, suffix, out);
        } else if name.ends_with(suffix) {
            out.push(path);
        }
    }
}

fn all(suffix: &str) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    files(&root(), suffix, &mut paths);
    paths.into_iter().map(|p| (p.clone(), fs::read_to_string(p).unwrap())).collect()
}

#[test]
fn files_stay_readable() {
    let long: Vec<_> =
        all(".rs").into_iter().filter(|(_, text)| text.lines().count() > 700).map(|(p, _)| p).collect();
    assert!(long.is_empty(), "split these, they are past 700 lines: {long:?}");
}

#[test]
fn no_marks_are_left() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    for (path, text) in all(".rs") {
        for mark in marks {
            assert!(!text.contains(mark), "{}: {mark}; open an issue instead", path.display());
        }
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    for (path, text) in all(".md") {
        for (_, rest) in text.match_indices("](").map(|(i, _)| text.split_at(i + 2)) {
            let target = rest.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(
                path.parent().unwrap().join(target).exists(),
                "{}: {target} leads nowhere",
                path.display()
            );
        }
    }
}

#[test]
fn every_configuration_key_is_documented() {
    let text = fs::read_to_string(root().join("docs/howto/configuration.md")).unwrap();
    let keys = serde_json::to_value(crate::config::Config::default()).unwrap();
    for (key, value) in keys.as_object().unwrap() {
        // A section's keys are documented one by one.
        let names = match value.as_object() {
            Some(section) => section.keys().map(|k| format!("{key}.{k}")).collect(),
            None => vec![key.clone()],
        };
        for name in names {
            assert!(
                text.contains(&format!("| `{name}` |")),
                "docs/howto/configuration.md does not name {name}"
            );
        }
    }
}

#[test]
fn only_these_routes_are_open() {
    let open: Vec<_> = crate::region::routes()
        .into_iter()
        .chain(metal::maas::list())
        .filter(|r| r.rule == Rule::Open && !is_open(r))
        .map(|r| format!("{} {}", r.method, r.path))
        .collect();
    assert!(
        open.is_empty(),
        "these need no token; is that right? The list only shrinks without a reason: {open:#?}"
    );
}

/// No token of a user is asked for, and rightly so; hosts, racks and live systems have their own.
pub fn is_open(route: &Listed) -> bool {
    ["/agent/", "/rack/", "/live/"].iter().any(|p| route.path.starts_with(p))
        || OPEN.contains(&format!("{} {}", route.method, route.path).as_str())
}

/// Versions, login (by token, and by session in a browser), changing a password by proving the old one, and consoles by one-time ticket.
const OPEN: &[&str] = &[
    "GET /identity",
    "GET /identity/v3",
    "POST /identity/v3/auth/tokens",
    "POST /identity/v3/users/{id}/password",
    "GET /image",
    "GET /image/v2",
    "GET /image/versions",
    "GET /network",
    "GET /compute",
    "GET /compute/v2",
    "GET /compute/v2.1",
    "GET /placement",
    "GET /hanok/v1/console/{kind}",
    "GET /hanok/v1/machine-console",
    "POST /hanok/v1/session",
    "GET /MAAS/api/2.0/describe/",
    "GET /MAAS/api/2.0/version/",
    "POST /MAAS/accounts/authenticate/",
    // The file's own key is in the query.
    "GET /MAAS/api/2.0/files/?op=get_by_key",
    // These look for the key of a deployed machine themselves; the last three are refused to everybody.
    "GET /MAAS/metadata/",
    "GET /MAAS/metadata/{version}/",
    "POST /MAAS/metadata/{version}/?op=signal",
    "GET /MAAS/metadata/{version}/meta-data/",
    "GET /MAAS/metadata/{version}/meta-data/{item}/",
    "GET /MAAS/metadata/{version}/user-data/",
    "POST /MAAS/metadata/status/{system_id}/",
    "GET /MAAS/metadata/{version}/by-id/{system_id}/?op=get_preseed",
    "POST /MAAS/metadata/{version}/by-id/{system_id}/?op=netboot_off",
    "GET /MAAS/metadata/{version}/enlist-preseed/?op=get_enlist_preseed",
];
