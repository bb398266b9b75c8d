//! Who may do what, asked from outside. The full walk of every route is a unit test of the program; here
//! a list written by hand stands against a route that was forgotten there.

use crate::world::{World, password_login};
use serde_json::{Value, json};

const ID: &str = "11111111-2222-4333-8444-555555555555";

/// Calls that must not be answered without a token.
const CLOSED: &[(&str, &str)] = &[
    ("GET", "/identity/v3/auth/tokens"),
    ("DELETE", "/identity/v3/auth/tokens"),
    ("GET", "/identity/v3/auth/catalog"),
    ("GET", "/identity/v3/auth/projects"),
    ("GET", "/identity/v3/projects"),
    ("POST", "/identity/v3/projects"),
    ("GET", "/identity/v3/projects/{id}"),
    ("PATCH", "/identity/v3/projects/{id}"),
    ("DELETE", "/identity/v3/projects/{id}"),
    ("GET", "/identity/v3/users"),
    ("POST", "/identity/v3/users"),
    ("DELETE", "/identity/v3/users/{id}"),
    ("GET", "/identity/v3/credentials"),
    ("POST", "/identity/v3/OS-TRUST/trusts"),
    ("POST", "/identity/v3/users/{id}/credentials/OS-EC2"),
    ("POST", "/identity/v3/ec2tokens"),
    ("POST", "/identity/v3/s3tokens"),
    ("GET", "/identity/v3/roles"),
    ("PUT", "/identity/v3/projects/{id}/users/{id}/roles/{id}"),
    ("GET", "/identity/v3/role_assignments"),
    ("GET", "/identity/v3/domains"),
    ("GET", "/identity/v3/services"),
    ("GET", "/identity/v3/endpoints"),
    ("GET", "/image/v2/images"),
    ("POST", "/image/v2/images"),
    ("GET", "/image/v2/images/{id}"),
    ("PATCH", "/image/v2/images/{id}"),
    ("DELETE", "/image/v2/images/{id}"),
    ("PUT", "/image/v2/images/{id}/file"),
    ("GET", "/image/v2/images/{id}/file"),
    ("GET", "/network/v2.0/networks"),
    ("POST", "/network/v2.0/networks"),
    ("DELETE", "/network/v2.0/networks/{id}"),
    ("GET", "/network/v2.0/subnets"),
    ("POST", "/network/v2.0/subnets"),
    ("GET", "/network/v2.0/ports"),
    ("POST", "/network/v2.0/ports"),
    ("GET", "/network/v2.0/routers"),
    ("PUT", "/network/v2.0/routers/{id}/add_router_interface"),
    ("GET", "/network/v2.0/floatingips"),
    ("POST", "/network/v2.0/floatingips"),
    ("GET", "/network/v2.0/security-groups"),
    ("POST", "/network/v2.0/security-group-rules"),
    ("GET", "/network/v2.0/quotas/{id}"),
    ("GET", "/compute/v2.1/flavors"),
    ("POST", "/compute/v2.1/flavors"),
    ("GET", "/compute/v2.1/os-keypairs"),
    ("POST", "/compute/v2.1/os-keypairs"),
    ("GET", "/compute/v2.1/servers"),
    ("GET", "/compute/v2.1/servers/detail"),
    ("POST", "/compute/v2.1/servers"),
    ("GET", "/compute/v2.1/servers/{id}"),
    ("DELETE", "/compute/v2.1/servers/{id}"),
    ("POST", "/compute/v2.1/servers/{id}/action"),
    ("GET", "/compute/v2.1/servers/{id}/metadata"),
    ("GET", "/compute/v2.1/limits"),
    ("GET", "/compute/v2.1/os-hypervisors"),
    ("GET", "/compute/v2.1/os-services"),
    ("GET", "/hanok/v1/audit"),
    ("GET", "/hanok/v1/events"),
    ("GET", "/hanok/v1/why/{id}"),
    ("POST", "/hanok/v1/servers/{id}/console"),
    ("GET", "/agent/v1/desired?since=0&wait=0"),
    ("PUT", "/agent/v1/observed"),
];

/// Calls that an ordinary user is refused.
const FOR_ADMINS: &[(&str, &str)] = &[
    ("GET", "/identity/v3/users"),
    ("POST", "/identity/v3/projects"),
    ("POST", "/identity/v3/users"),
    ("GET", "/compute/v2.1/os-hypervisors"),
    ("GET", "/compute/v2.1/os-services"),
    ("POST", "/compute/v2.1/flavors"),
    ("GET", "/compute/v2.1/servers/detail?all_tenants=1&host=sim-0001"),
];

#[test]
fn nobody_gets_in_without_proof() {
    let w = World::dev(1);
    let nobody = w.anonymous();
    let bad = nobody.with_token("gAAAAABnonsense");
    for (method, path) in CLOSED {
        let path = path.replace("{id}", ID);
        for who in [&nobody, &bad] {
            let answer = who.send(method, &path, &json!({}));
            assert_eq!(answer.status, 401, "{method} {path} with token {:?}: {}", who.token(), answer.text());
        }
    }
    // Discovery is open: clients look before they log in.
    for (path, status) in [
        ("/health", 200),
        ("/identity", 300),
        ("/identity/v3", 200),
        ("/compute", 200),
        ("/compute/v2.1", 200),
        ("/image", 300),
        ("/network", 200),
    ] {
        assert_eq!(nobody.get(path).status, status, "{path}");
    }

    let demo = w.api("demo");
    let admin = w.api("hanok");
    for (method, path) in FOR_ADMINS {
        let answer = demo.send(method, path, &json!({}));
        let hidden = answer.status == 200 && path.contains("all_tenants");
        assert!(answer.status == 403 || hidden, "{method} {path}: {} {}", answer.status, answer.text());
    }
    // A console wants its own one-time ticket.
    let upgrade = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for who in [&nobody, &demo] {
        let answer = who.raw("GET", "/hanok/v1/console/serial?token=nonsense", &upgrade, b"").unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    // A host's token opens nothing but the agent's routes, and a user's opens none of those.
    demo.get("/agent/v1/desired?since=0&wait=0").expect(401);

    wrong_passwords(&nobody);
    let body = password_login("demo", "wrong", "demo");
    let one = nobody.post("/identity/v3/auth/tokens", &body).text();
    let body = password_login("nobody-of-this-name", "wrong", "demo");
    assert_eq!(
        one,
        nobody.post("/identity/v3/auth/tokens", &body).text(),
        "a refusal must not tell who exists"
    );

    other_projects_things(&admin, &demo);
    revoked(&w);
    narrow(&w);
    on_record(&w);
    w.finish();
}

fn wrong_passwords(nobody: &crate::api::Api) {
    for body in [
        password_login("admin", "", "admin"),
        password_login("admin", "wrong", "admin"),
        password_login("", "wrong", "admin"),
    ] {
        let answer = nobody.post("/identity/v3/auth/tokens", &body);
        let said = answer.expect(401);
        assert_eq!(said["error"]["code"], 401);
        assert!(answer.header("x-openstack-request-id").is_some_and(|id| id.starts_with("req-")));
    }
    // The real service's answer to a token that is none.
    let body = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}}});
    nobody.post("/identity/v3/auth/tokens", &body).expect(404);
}

/// What belongs to another project does not exist for a user.
fn other_projects_things(admin: &crate::api::Api, demo: &crate::api::Api) {
    let network = admin.post("/network/v2.0/networks", &json!({"network": {"name": "theirs"}})).expect(201);
    let network = network["network"]["id"].as_str().unwrap();
    let subnet = json!({"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.5.0.0/24"}});
    admin.post("/network/v2.0/subnets", &subnet).expect(201);
    let body =
        json!({"name": "theirs", "disk_format": "raw", "container_format": "bare", "visibility": "private"});
    let image = admin.post("/image/v2/images", &body).expect(201);
    let image = image["id"].as_str().unwrap();
    let server = admin.create_server(&admin.server_body("theirs", &[network]));
    admin.wait_for(&server, "ACTIVE");
    for path in [
        format!("/network/v2.0/networks/{network}"),
        format!("/image/v2/images/{image}"),
        format!("/compute/v2.1/servers/{server}"),
        format!("/compute/v2.1/servers/{server}/metadata"),
        format!("/hanok/v1/why/{server}"),
    ] {
        assert_eq!(demo.get(&path).status, 404, "{path}");
    }
    for path in [
        format!("/network/v2.0/networks/{network}"),
        format!("/image/v2/images/{image}"),
        format!("/compute/v2.1/servers/{server}"),
    ] {
        assert_eq!(demo.delete(&path).status, 404, "{path}");
    }
    demo.action(&server, &json!({"os-stop": null})).expect(404);
    demo.post(&format!("/hanok/v1/servers/{server}/console"), &json!({"kind": "serial"})).expect(404);
    for path in ["/compute/v2.1/servers/detail", "/network/v2.0/networks", "/image/v2/images"] {
        assert!(!demo.get(path).text().contains("theirs"), "{path} shows another project's");
    }
    // A server of ours cannot be put on a network of theirs.
    demo.post("/compute/v2.1/servers", &demo.server_body("mine", &[network])).expect(400);
    admin.delete_server(&server);
    admin.delete(&format!("/network/v2.0/networks/{network}")).expect(204);
    admin.delete(&format!("/image/v2/images/{image}")).expect(204);
}

/// A token that was given back, and one whose user is gone.
fn revoked(w: &World) {
    let demo = w.api("demo");
    demo.get("/compute/v2.1/servers").expect(200);
    let subject = demo.token().to_owned();
    let answer =
        demo.raw("DELETE", "/identity/v3/auth/tokens", &[("X-Subject-Token", &subject)], b"").unwrap();
    assert_eq!(answer.status, 204);
    demo.get("/compute/v2.1/servers").expect(401);

    let admin = w.api("hanok");
    let body = json!({"user": {"name": "brief", "password": "brief-secret"}});
    let user = admin.post("/identity/v3/users", &body).expect(201)["user"]["id"].as_str().unwrap().to_owned();
    let role = admin.id_of("/identity/v3/roles", "member");
    let project = w.api("demo").project;
    let grant = format!("/identity/v3/projects/{project}/users/{user}/roles/{role}");
    admin.put(&grant, &Value::Null).expect(204);
    let brief = crate::api::Api::login(admin.to, "brief", "brief-secret", "demo");
    brief.get("/compute/v2.1/servers").expect(200);
    admin.delete(&format!("/identity/v3/users/{user}")).expect(204);
    brief.get("/compute/v2.1/servers").expect(401);
}

/// A program that may look at servers, and at nothing else of any service.
fn narrow(w: &World) {
    let demo = w.api("demo");
    let own = [("X-Subject-Token", demo.token())];
    let said = demo.raw("GET", "/identity/v3/auth/tokens?nocatalog", &own, b"").unwrap().expect(200);
    let user = said["token"]["user"]["id"].as_str().unwrap().to_owned();
    let rules = json!([
        {"service": "compute", "method": "GET", "path": "/v2.1/servers"},
        {"service": "compute", "method": "GET", "path": "/v2.1/servers/*"},
    ]);
    let path = format!("/identity/v3/users/{user}/application_credentials");
    let body = json!({"application_credential": {"name": "looks", "access_rules": rules}});
    let made = demo.post(&path, &body).expect(201);
    let c = &made["application_credential"];
    let login = json!({"auth": {"identity": {"methods": ["application_credential"],
        "application_credential": {"id": c["id"], "secret": c["secret"]}}}});
    let answer = w.anonymous().post("/identity/v3/auth/tokens", &login);
    let program = demo.with_token(answer.header("x-subject-token").unwrap());
    program.get("/compute/v2.1/servers").expect(200);
    program.get("/compute/v2.1/servers/detail").expect(200);
    for (method, path) in [
        ("POST", "/compute/v2.1/servers"),
        ("GET", "/compute/v2.1/servers/x/ips"),
        ("GET", "/compute/v2.1/flavors"),
        ("GET", "/network/v2.0/networks"),
        ("GET", "/image/v2/images"),
        ("GET", "/identity/v3/auth/projects"),
        ("GET", "/hanok/v1/why/x"),
    ] {
        assert_eq!(program.send(method, path, &json!({})).status, 401, "{method} {path}");
    }
    demo.delete(&format!("{path}/{}", c["id"].as_str().unwrap())).expect(204);
    program.get("/compute/v2.1/servers").expect(401);
}

/// What `revoked` did is on record, and `hanok audit` shows it.
fn on_record(w: &World) {
    let read = |verb: &[&str]| w.hanok_command().env("OS_CLOUD", "hanok").args(verb).output().unwrap();
    let printed = read(&["audit", "--action", "user."]);
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.status.success() && text.contains("user.delete") && text.contains("admin"), "{text}");
    let printed = read(&["events", "--kind", "identity."]);
    assert!(printed.status.success(), "{}", crate::world::both(&printed));
    // A member reads of the audit what was done in his project, and nothing of the events.
    let printed = w.hanok(&["audit"]);
    let text = crate::world::both(&printed);
    assert!(printed.status.success() && text.contains("application_credential.delete"), "{text}");
    assert!(!text.contains("user."), "{text}");
    let refused = w.hanok(&["events"]);
    assert!(!refused.status.success(), "{}", crate::world::both(&refused));
}
