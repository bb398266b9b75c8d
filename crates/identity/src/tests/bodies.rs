//! Bodies in which something is something else: refused in the API's words, or taken, and never our fault.

use super::{DEMO, World, password, project, worlds};
use proptest::prelude::*;
use serde_json::json;
use testing::{Ask, spoiled};

async fn right(w: &World, admin: &str) -> Vec<Ask> {
    let user = w.user(admin, "helper", "pw").await;
    let id = w.id_of(admin, "users", "admin").await;
    let services = w.call("GET", "/v3/services?type=compute", admin, ()).await.of(200);
    let service = &services["services"][0]["id"];
    let person = json!({"name": "u", "password": "p", "domain_id": "default", "enabled": true, "email": "a@b",
        "default_project_id": w.seed.demo, "description": "d", "options": {"ignore_password_expiry": true}});
    let place = json!({"name": "p", "domain_id": "default", "parent_id": "default", "enabled": true,
        "description": "d", "tags": ["red"], "options": {}});
    let trust = json!({"trustor_user_id": id, "trustee_user_id": user, "project_id": w.seed.admin,
        "impersonation": false, "expires_at": "2099-01-01T00:00:00Z",
        "allow_redelegation": true, "redelegation_count": 1, "roles": [{"name": "member"}]});
    let credential = json!({"name": "c", "description": "d", "secret": "s", "unrestricted": false,
        "expires_at": "2099-01-01T00:00:00", "roles": [{"name": "reader"}],
        "access_rules": [{"path": "/v2.1/servers", "method": "GET", "service": "compute"}]});
    let stored = json!({"type": "cert", "blob": "b", "user_id": id, "project_id": w.seed.admin});
    let registered = json!({"service_id": service, "region_id": "RegionOne", "resource_name": "volume",
        "default_limit": 10, "description": "d"});
    let endpoint = json!({"service_id": service, "interface": "admin", "url": "http://h/", "enabled": true,
        "region_id": "RegionOne", "name": "e"});
    let login = json!({"identity": password("demo", DEMO), "scope": project("demo")});
    let all: [(_, &str, _); 14] = [
        ("POST", "/v3/auth/tokens", json!({"auth": login})),
        ("POST", "/v3/users", json!({"user": person})),
        ("PATCH", &format!("/v3/users/{user}"), json!({"user": {"name": "helper", "enabled": true}})),
        ("POST", "/v3/projects", json!({"project": place})),
        ("POST", "/v3/groups", json!({"group": {"name": "g", "domain_id": "default", "description": "d"}})),
        ("POST", "/v3/domains", json!({"domain": {"name": "d", "enabled": true, "description": "d"}})),
        ("POST", "/v3/roles", json!({"role": {"name": "r", "description": "d", "options": {}}})),
        ("POST", "/v3/OS-TRUST/trusts", json!({"trust": trust})),
        (
            "POST",
            &format!("/v3/users/{id}/application_credentials"),
            json!({"application_credential": credential}),
        ),
        ("POST", "/v3/credentials", json!({"credential": stored})),
        ("POST", "/v3/registered_limits", json!({"registered_limits": [registered]})),
        ("POST", "/v3/services", json!({"service": {"type": "t", "name": "s", "enabled": true}})),
        ("POST", "/v3/endpoints", json!({"endpoint": endpoint})),
        ("POST", "/v3/regions", json!({"region": {"id": "r", "parent_region_id": "RegionOne"}})),
    ];
    all.map(|(method, path, body)| (method, path.to_owned(), body)).into()
}

#[test]
fn no_body_is_our_fault() {
    let run = tokio::runtime::Runtime::new().unwrap();
    for w in run.block_on(worlds()) {
        let admin = run.block_on(w.admin());
        let right = run.block_on(right(&w, &admin));
        let answers = right.iter().map(|(method, path, body)| {
            let answer = run.block_on(w.call(method, path, &admin, body.clone()));
            (method, path, answer.status, answer.text)
        });
        let refused: Vec<_> = answers.filter(|(_, _, status, _)| *status >= 300).collect();
        assert!(refused.is_empty(), "{refused:?}");
        let few = testing::few();
        proptest!(few, |((method, path, body) in spoiled(right))| {
            let answer = run.block_on(w.call(method, &path, &admin, body));
            prop_assert!(answer.status < 500, "{method} {path}: {}", answer.text);
        });
    }
}
