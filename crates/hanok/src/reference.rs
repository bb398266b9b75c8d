//! Writes `docs/reference/openstack.md` and keeps it true: what has a route works, what has none is in
//! `docs/reference/absent.txt` with a reason, and every switch of tempest that is off has its reason as a
//! comment above it. HANOK_UPDATE=1 writes the page anew.

use api::Rule;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const HEAD: &str = "# Every call\n\nWritten by a test from the route tables, from `absent.txt` beside it and from the configuration of tempest.\n\n\
    ## What works\n\nThe right column is who may: `open` needs no token, `any` any good token, else the least role in the\n\
    project that the token is scoped to (an admin may always); `overseer` reads a whole domain,\n\
    `steward` manages one.\n\n\
    | method | path | who |\n|---|---|---|\n";
const ABSENT: &str = "\n## What does not\n\nCalls that clients know and that are answered with 404 in the API's own manner.\n\n\
    | state | methods | path | why |\n|---|---|---|---|\n";
const ACTIONS: &str =
    "\n## Actions of servers\n\nThe key in the body of `POST /compute/v2.1/servers/{id}/action`.\n\n";
const SWITCHES: &str = "\n## What tempest is told not to try\n\nOpenStack's own test suite runs unmodified. These of its switches are off: `api` over simulated hosts,\n\
    `scenario` with real guests.\n\n| switch | where | why |\n|---|---|---|\n";

const RUNS: &str = "\n## What a run of tempest came to\n\nWritten by `scripts/tempest.sh --update` at its last whole run, over simulated hosts (`tempest.api` of Compute,\n\
    Identity, Image and Network). *Passed with real guests* are those that log into guests or read their consoles, which\n\
    pass when `scripts/tempest.sh --scenario` runs them. *Outside* is what this release is not about, reason by reason\n\
    below; everything else counts, also what fails because it is refused for good. The reasons are kept in\n\
    `tests/tempest/skips.txt`.\n\n";
const SCENARIOS: &str = "\n### With real guests\n\nScenarios, and the tests of Compute that need a guest (`scripts/tempest.sh --scenario`).\n\n";

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn updating() -> bool {
    std::env::var_os("HANOK_UPDATE").is_some()
}

/// A path with its parameters' names taken out.
fn shape(path: &str) -> String {
    let parts = path.split('/').map(|p| if p.starts_with('{') { "{}" } else { p });
    parts.collect::<Vec<_>>().join("/")
}

/// A line of `absent.txt`.
struct Absent {
    state: String,
    methods: Vec<String>,
    path: String,
    why: String,
}

fn absent() -> Vec<Absent> {
    let text = read("docs/reference/absent.txt");
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    lines
        .map(|line| {
            let mut words = line.splitn(4, ' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_else(|| panic!("absent.txt: {line}"));
            let (state, methods, path, why) = (word(), word(), word(), word());
            assert!(["later", "refused"].contains(&state.as_str()), "absent.txt: {line}");
            Absent { state, methods: methods.split(',').map(str::to_owned).collect(), path, why }
        })
        .collect()
}

/// Takes out what has a route; answers whether there was any.
fn prune(list: &mut Vec<Absent>) -> bool {
    let routes: BTreeSet<_> =
        crate::region::routes().iter().map(|r| (r.method.to_string(), shape(&r.path))).collect();
    let before: usize = list.iter().map(|a| a.methods.len()).sum();
    for a in list.iter_mut() {
        let path = shape(&a.path);
        a.methods.retain(|m| !routes.contains(&(m.clone(), path.clone())));
    }
    list.retain(|a| !a.methods.is_empty());
    before != list.iter().map(|a| a.methods.len()).sum::<usize>()
}

fn write_absent(list: &[Absent]) {
    let old = read("docs/reference/absent.txt");
    let mut text: String = old.lines().filter(|l| l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    for a in list {
        writeln!(text, "{} {} {} {}", a.state, a.methods.join(","), a.path, a.why).unwrap();
    }
    fs::write(file("docs/reference/absent.txt"), text).unwrap();
}

/// The actions that the code takes, and those that it says come later.
fn actions() -> (Vec<String>, Vec<String>) {
    let text = read("crates/compute/src/api/action/mod.rs");
    let quoted =
        |line: &str| line.trim().strip_prefix('"').and_then(|l| l.split('"').next()).map(str::to_owned);
    let later = text.split("const LATER").nth(1).and_then(|t| t.split("];").next()).unwrap_or("");
    let works = text.lines().filter(|l| l.contains(" => ")).filter_map(quoted).collect::<BTreeSet<_>>();
    (works.into_iter().collect(), later.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Switches of a tempest configuration that are off, with the comment above each.
fn switches(name: &str) -> BTreeMap<String, String> {
    let (mut section, mut why, mut open) = (String::new(), String::new(), false);
    let mut off = BTreeMap::new();
    for line in read(&format!("tests/tempest/{name}.conf")).lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            // A comment holds for all lines up to the next comment, section or empty line.
            why = if open { format!("{why} {comment}") } else { comment.to_owned() };
            open = true;
            continue;
        }
        open = false;
        if let Some(named) = line.strip_prefix('[') {
            section = named.trim_end_matches(']').to_owned();
            why.clear();
        } else if line.trim().is_empty() {
            why.clear();
        } else if let Some((key, "false")) = line.split_once(" = ") {
            assert!(
                !why.is_empty(),
                "tests/tempest/{name}.conf: {key} is off without a comment that says why"
            );
            off.insert(format!("{section}.{key}"), why.clone());
        }
    }
    off
}

fn page(list: &[Absent]) -> String {
    let mut page = String::from(HEAD);
    for route in crate::region::routes() {
        let who = match route.rule {
            Rule::Open => "open".to_owned(),
            Rule::Any => "any".to_owned(),
            Rule::Overseer => "overseer".to_owned(),
            Rule::Steward => "steward".to_owned(),
            Rule::Role(level) => format!("{level:?}").to_lowercase(),
        };
        writeln!(page, "| {} | `{}` | {who} |", route.method, route.path).unwrap();
    }
    page.push_str(ABSENT);
    for a in list {
        let state = if a.state == "refused" { "refused for good" } else { &a.state };
        writeln!(page, "| {state} | {} | `{}` | {} |", a.methods.join(", "), a.path, a.why).unwrap();
    }
    let (works, later) = actions();
    let names = |list: &[String]| list.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    page.push_str(ACTIONS);
    writeln!(page, "Work: {}.", names(&works)).unwrap();
    if !later.is_empty() {
        writeln!(page, "\nLater, answered with 501: {}.", names(&later)).unwrap();
    }
    page.push_str(SWITCHES);
    let (api, scenario) = (switches("api"), switches("scenario"));
    for key in api.keys().chain(scenario.keys()).collect::<BTreeSet<_>>() {
        let (place, why) = match (api.get(key), scenario.get(key)) {
            (Some(why), Some(same)) if why == same => ("both", why.clone()),
            (Some(one), Some(two)) => ("both", format!("{one} With real guests: {two}")),
            (Some(why), None) => ("api", why.clone()),
            (_, why) => ("scenario", why.cloned().unwrap_or_default()),
        };
        writeln!(page, "| `{key}` | {place} | {why} |").unwrap();
    }
    for (head, table) in [(RUNS, "api"), (SCENARIOS, "scenario")] {
        page.push_str(head);
        page.push_str(&read(&format!("docs/reference/tempest-{table}.txt")));
    }
    page
}

#[test]
fn the_api_table_is_in_step_with_the_routes() {
    let mut list = absent();
    let stale = prune(&mut list);
    if updating() {
        write_absent(&list);
        fs::write(file("docs/reference/openstack.md"), page(&list)).unwrap();
        return;
    }
    assert!(!stale, "absent.txt names calls that have a route now; run this test with HANOK_UPDATE=1");
    assert!(read("docs/reference/openstack.md") == page(&list), "run this test with HANOK_UPDATE=1");
}

#[test]
fn actions_are_found_in_the_code() {
    let (works, _) = actions();
    assert!(works.len() > 10 && works.contains(&"os-start".to_owned()), "{works:?}");
}
