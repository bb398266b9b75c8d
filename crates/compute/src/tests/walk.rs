//! Every address: none without a token, none with what does not belong in its body.

use super::world::World;
use crate::{agent_service, console_service, placement_service, service};
use api::{Listed, Rule};
use serde_json::json;

fn everything() -> Vec<Listed> {
    [service().list(), placement_service().list(), agent_service().list(), console_service().list()].concat()
}

fn concrete(path: &str) -> String {
    path.split('/')
        .map(|p| if p.starts_with('{') { "4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1" } else { p })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test]
async fn nothing_without_a_token() {
    let w = World::new().await;
    // This list only shrinks.
    let open = ["/compute", "/compute/v2", "/compute/v2.1", "/placement"];
    for route in everything() {
        let answer = w.send("", "2.79", route.method.as_str(), &concrete(&route.path), None).await;
        if open.contains(&route.path.as_str()) {
            assert_eq!((route.rule, answer.status.as_u16()), (Rule::Open, 200), "{}", route.path);
        } else {
            assert_eq!(answer.status, 401, "{} {}", route.method, route.path);
        }
        let bad = w.send("nonsense", "2.79", route.method.as_str(), &concrete(&route.path), None).await;
        assert!(open.contains(&route.path.as_str()) || bad.status == 401, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn a_reader_changes_nothing_and_a_member_administers_nothing() {
    let w = World::new().await;
    for route in everything().into_iter().filter(|r| matches!(r.rule, Rule::Role(_))) {
        let path = concrete(&route.path);
        if route.method != "GET" {
            let answer = w.send("reader:a", "2.60", route.method.as_str(), &path, None).await;
            assert_eq!(answer.status, 403, "{} {}", route.method, route.path);
        }
        if route.rule == Rule::ADMIN {
            let answer = w.send("member:a", "2.60", route.method.as_str(), &path, None).await;
            assert_eq!(answer.status, 403, "{} {}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn bodies_are_strict() {
    let w = World::new().await;
    let mut host = w.host("h1").await;
    host.turn(&w).await;
    let id = w.create("one").await;
    w.until(&mut host, id, "ACTIVE").await;
    let server = |more: &str| {
        let mut s = w.wish("x");
        s[more] = json!("x");
        json!({"server": s})
    };
    let act = format!("/servers/{id}/action");
    let meta = format!("/servers/{id}/metadata");
    let tags = format!("/servers/{id}/tags");
    let cases = [
        ("POST", "/servers", server("nonsense")),
        ("POST", "/servers", json!({"server": w.wish("x"), "nonsense": 1})),
        ("POST", "/servers", server("personality")),
        ("POST", "/servers", json!({})),
        ("PUT", &format!("/servers/{id}"), json!({"server": {"nonsense": 1}})),
        ("PUT", &format!("/servers/{id}"), json!({"server": {"accessIPv4": "1.2.3"}})),
        ("POST", &act, json!({"os-stop": {"now": true}})),
        ("POST", &act, json!({"reboot": {"type": "SOFT", "x": 1}})),
        ("POST", &act, json!({"reboot": {"type": "GENTLE"}})),
        ("POST", &act, json!({"nonsense": null})),
        ("POST", &act, json!({"os-stop": null, "os-start": null})),
        ("POST", &act, json!({})),
        ("POST", &act, json!([])),
        ("POST", &meta, json!({"metadata": {"k": 1}})),
        ("POST", &meta, json!({"metadata": {"": "v"}})),
        ("POST", &meta, json!({"metadata": {}, "x": 1})),
        ("PUT", &format!("{meta}/k"), json!({"meta": {"other": "v"}})),
        ("PUT", &tags, json!({"tags": ["a,b"]})),
        ("PUT", &tags, json!({"tags": ["a"], "x": 1})),
        ("POST", "/os-keypairs", json!({"keypair": {"name": "k", "nonsense": 1}})),
        ("POST", "/os-keypairs", json!({"keypair": {"name": "!@#"}})),
        (
            "POST",
            &format!("/servers/{id}/remote-consoles"),
            json!({"remote_console": {"protocol": "mks", "type": "x"}}),
        ),
    ];
    for (method, path, body) in cases {
        let answer = w.member("2.79", method, path, Some(body.clone())).await;
        assert_eq!(answer.status, 400, "{method} {path} {body}: {}", answer.text);
        assert!(answer.body["badRequest"]["message"].is_string(), "{}", answer.text);
    }
    let flavors = [
        json!({"flavor": {"name": "f", "ram": 0, "vcpus": 1, "disk": 1}}),
        json!({"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1, "nonsense": 1}}),
        json!({"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1, "id": "a/b"}}),
        json!({"flavor": {"ram": 1, "vcpus": 1, "disk": 1}}),
    ];
    for body in flavors {
        w.admin("2.79", "POST", "/flavors", Some(body)).await.expect(400);
    }
    let quota = format!("/os-quota-sets/{}", "a");
    w.admin("2.79", "PUT", &quota, Some(json!({"quota_set": {"injected_files": 1}}))).await.expect(400);
    w.admin("2.79", "PUT", &quota, Some(json!({"quota_set": {"cores": -2}}))).await.expect(400);
}
