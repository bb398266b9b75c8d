//! A manager of a domain looks after the domain, and nothing else.

use super::{World, worlds};
use serde_json::{Value, json};

struct Cast {
    admin: String,
    /// A manager of the domain `west`, with a token that is scoped to it.
    warden: String,
    west: String,
}

async fn cast(w: &World) -> Cast {
    let admin = w.admin().await;
    let body = w.call("POST", "/v3/domains", &admin, json!({"domain": {"name": "west"}})).await.of(201);
    let west = body["domain"]["id"].as_str().unwrap().to_owned();
    let user = json!({"user": {"name": "warden", "password": "pw", "domain_id": west}});
    let user = w.call("POST", "/v3/users", &admin, user).await.of(201)["user"]["id"].clone();
    let role = w.id_of(&admin, "roles", "manager").await;
    let grant = format!("/v3/domains/{west}/users/{}/roles/{role}", user.as_str().unwrap());
    w.call("PUT", &grant, &admin, ()).await.of(204);
    let identity = json!({"methods": ["password"], "password": {"user": {"id": user, "password": "pw"}}});
    let warden = w.token(json!({"identity": identity, "scope": {"domain": {"id": west}}})).await;
    Cast { admin, warden, west }
}

async fn make(w: &World, token: &str, plural: &str, body: Value) -> String {
    let noun = plural.trim_end_matches('s');
    let made = w.call("POST", &format!("/v3/{plural}"), token, json!({noun: body})).await.of(201);
    made[noun]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_domain_is_the_managers() {
    for w in worlds().await {
        let c = cast(&w).await;
        let user = make(&w, &c.warden, "users", json!({"name": "u", "password": "pw"})).await;
        let shown = w.call("GET", &format!("/v3/users/{user}"), &c.warden, ()).await.of(200);
        assert_eq!(shown["user"]["domain_id"], json!(c.west), "the token's domain is home");
        let group = make(&w, &c.warden, "groups", json!({"name": "g"})).await;
        let project = make(&w, &c.warden, "projects", json!({"name": "p"})).await;
        for (plural, id) in [("users", &user), ("groups", &group), ("projects", &project)] {
            let noun = plural.trim_end_matches('s');
            let body = json!({noun: {"description": "changed"}});
            w.call("PATCH", &format!("/v3/{plural}/{id}"), &c.warden, body).await.of(200);
        }
        let member = format!("/v3/groups/{group}/users/{user}");
        w.call("PUT", &member, &c.warden, ()).await.of(204);
        w.call("HEAD", &member, &c.warden, ()).await.of(204);
        w.call("PUT", &format!("/v3/projects/{project}/tags/blue"), &c.warden, ()).await.of(201);
        for name in ["manager", "member", "reader", "admin", "service"] {
            let role = w.id_of(&c.warden, "roles", name).await;
            let status = if ["admin", "service"].contains(&name) { 403 } else { 204 };
            for grant in [
                format!("/v3/projects/{project}/users/{user}/roles/{role}"),
                format!("/v3/projects/{project}/groups/{group}/roles/{role}"),
                format!("/v3/domains/{}/users/{user}/roles/{role}", c.west),
                format!("/v3/OS-INHERIT/domains/{}/users/{user}/roles/{role}/inherited_to_projects", c.west),
            ] {
                assert_eq!(w.call("PUT", &grant, &c.warden, ()).await.status, status, "{name} {grant}");
            }
            let system = format!("/v3/system/users/{user}/roles/{role}");
            w.call("PUT", &system, &c.warden, ()).await.of(403);
        }
        let role = w.id_of(&c.warden, "roles", "reader").await;
        let grant = format!("/v3/projects/{project}/users/{user}/roles/{role}");
        w.call("DELETE", &grant, &c.warden, ()).await.of(204);
        w.call("DELETE", &grant, &c.warden, ()).await.of(404);
        w.call("DELETE", &member, &c.warden, ()).await.of(204);
        for (plural, id) in [("projects", &project), ("groups", &group), ("users", &user)] {
            w.call("DELETE", &format!("/v3/{plural}/{id}"), &c.warden, ()).await.of(204);
        }
    }
}

#[tokio::test]
async fn what_is_outside_is_not() {
    for w in worlds().await {
        let c = cast(&w).await;
        let stranger = w.user(&c.admin, "stranger", "pw").await;
        let group = make(&w, &c.admin, "groups", json!({"name": "others"})).await;
        let mine = make(&w, &c.warden, "users", json!({"name": "u"})).await;
        for (plural, id) in
            [("users", stranger.as_str()), ("groups", &group), ("projects", w.seed.demo.as_str())]
        {
            let noun = plural.trim_end_matches('s');
            let elsewhere = json!({noun: {"name": "n", "domain_id": "default"}});
            w.call("POST", &format!("/v3/{plural}"), &c.warden, elsewhere).await.of(403);
            for id in [id, "nothing"] {
                let path = format!("/v3/{plural}/{id}");
                w.call("PATCH", &path, &c.warden, json!({noun: {"description": "x"}})).await.of(403);
                w.call("DELETE", &path, &c.warden, ()).await.of(403);
            }
        }
        w.call("PUT", &format!("/v3/groups/{group}/users/{mine}"), &c.warden, ()).await.of(403);
        let own = make(&w, &c.warden, "groups", json!({"name": "own"})).await;
        w.call("PUT", &format!("/v3/groups/{own}/users/{stranger}"), &c.warden, ()).await.of(403);
        let role = w.id_of(&c.warden, "roles", "reader").await;
        w.call("PUT", &format!("/v3/projects/{}/users/{mine}/roles/{role}", w.seed.demo), &c.warden, ())
            .await
            .of(403);
        let project = make(&w, &c.warden, "projects", json!({"name": "p"})).await;
        let grant = format!("/v3/projects/{project}/users/{stranger}/roles/{role}");
        w.call("PUT", &grant, &c.warden, ()).await.of(403);
        w.call("PUT", &format!("/v3/projects/{project}/users/nobody/roles/{role}"), &c.warden, ())
            .await
            .of(403);
        let sub = json!({"project": {"name": "below", "parent_id": w.seed.demo}});
        w.call("POST", "/v3/projects", &c.warden, sub).await.of(403);
        // A domain as a project is still a domain.
        let domain = json!({"project": {"name": "east", "is_domain": true}});
        w.call("POST", "/v3/projects", &c.warden, domain).await.of(403);
        let path = format!("/v3/projects/{}", c.west);
        w.call("PATCH", &path, &c.warden, json!({"project": {"enabled": false}})).await.of(403);
        w.call("DELETE", &path, &c.warden, ()).await.of(403);
        for path in ["/v3/domains", "/v3/roles", "/v3/services", "/v3/regions"] {
            w.call("POST", path, &c.warden, json!({})).await.of(403);
        }
    }
}

#[tokio::test]
async fn a_manager_does_not_become_an_administrator() {
    for w in worlds().await {
        let c = cast(&w).await;
        let chief = make(&w, &c.admin, "users", json!({"name": "chief", "domain_id": c.west})).await;
        let group = make(&w, &c.admin, "groups", json!({"name": "chiefs", "domain_id": c.west})).await;
        let user = make(&w, &c.warden, "users", json!({"name": "u"})).await;
        let admin = w.id_of(&c.admin, "roles", "admin").await;
        let path = format!("/v3/users/{chief}");
        let password = || json!({"user": {"password": "mine now"}});
        w.call("PATCH", &path, &c.warden, password()).await.of(200);
        w.call("PUT", &format!("/v3/system/users/{chief}/roles/{admin}"), &c.admin, ()).await.of(204);
        w.call("PATCH", &path, &c.warden, password()).await.of(403);
        w.call("DELETE", &path, &c.warden, ()).await.of(403);
        w.call("PUT", &format!("/v3/projects/{}/groups/{group}/roles/{admin}", w.seed.demo), &c.admin, ())
            .await
            .of(204);
        w.call("PUT", &format!("/v3/groups/{group}/users/{user}"), &c.warden, ()).await.of(403);
        w.call("PUT", &format!("/v3/groups/{group}/users/{user}"), &c.admin, ()).await.of(204);
        w.call("PATCH", &format!("/v3/users/{user}"), &c.warden, password()).await.of(403);
    }
}

#[tokio::test]
async fn names_are_compared_in_many_ways() {
    for w in worlds().await {
        let admin = w.admin().await;
        for name in ["Alpha_one", "alpha%two", "Beta"] {
            w.user(&admin, name, "pw").await;
        }
        for (how, value, names) in [
            ("", "Beta", vec!["Beta"]),
            ("__contains", "lpha", vec!["Alpha_one", "alpha%two"]),
            ("__contains", "ALPHA", vec![]),
            ("__icontains", "ALPHA", vec!["Alpha_one", "alpha%two"]),
            ("__contains", "_", vec!["Alpha_one"]),
            ("__contains", "%25", vec!["alpha%two"]),
            ("__startswith", "Alpha", vec!["Alpha_one"]),
            ("__istartswith", "alpha", vec!["Alpha_one", "alpha%two"]),
            ("__endswith", "two", vec!["alpha%two"]),
            ("__endswith", "a+much+longer+ending", vec![]),
            ("__iendswith", "ONE", vec!["Alpha_one"]),
        ] {
            let list = w.call("GET", &format!("/v3/users?name{how}={value}"), &admin, ()).await.of(200);
            let found: Vec<_> = list["users"].as_array().unwrap().iter().map(|u| &u["name"]).collect();
            assert_eq!(found, names, "{how} {value}");
        }
    }
}

#[tokio::test]
async fn what_is_outside_is_not_shown_either() {
    for w in worlds().await {
        let c = cast(&w).await;
        let project = make(&w, &c.warden, "projects", json!({"name": "p"})).await;
        let role = make(&w, &c.admin, "roles", json!({"name": "theirs", "domain_id": "default"})).await;
        let own = make(&w, &c.admin, "roles", json!({"name": "ours", "domain_id": c.west})).await;
        let reader = w.id_of(&c.admin, "roles", "reader").await;
        for prior in [&role, &own] {
            w.call("PUT", &format!("/v3/roles/{prior}/implies/{reader}"), &c.admin, ()).await.of(201);
        }
        let implied = |id: &str| format!("/v3/roles/{id}/implies");
        for (path, status) in [
            ("/v3/roles?domain_id=default".to_owned(), 403),
            (format!("/v3/roles/{role}"), 403),
            (implied(&role), 403),
            (format!("{}/{reader}", implied(&role)), 403),
            (format!("/v3/roles?domain_id={}", c.west), 200),
            (format!("/v3/roles/{own}"), 200),
            (implied(&own), 200),
            (format!("{}/{reader}", implied(&own)), 200),
            (format!("/v3/roles/{reader}"), 200),
        ] {
            assert_eq!(w.call("GET", &path, &c.warden, ()).await.status, status, "{path}");
            assert_eq!(w.call("GET", &path, &c.admin, ()).await.status, 200, "{path}");
        }
        let rules = w.call("GET", "/v3/role_inferences", &c.warden, ()).await.of(200).to_string();
        assert!(rules.contains("ours") && !rules.contains("theirs"), "{rules}");

        let found = w.call("GET", "/v3/endpoints?interface=public", &c.admin, ()).await.of(200);
        let endpoint = found["endpoints"][0]["id"].as_str().unwrap().to_owned();
        let root = "/v3/OS-EP-FILTER";
        let group = json!({"endpoint_group": {"name": "g", "filters": {"interface": "public"}}});
        let group = w.call("POST", &format!("{root}/endpoint_groups"), &c.admin, group).await.of(201);
        let group = group["endpoint_group"]["id"].as_str().unwrap().to_owned();
        let below = |project: &str| {
            let (all, given) = (format!("{root}/projects/{project}"), format!("endpoint_groups/{group}"));
            [
                format!("{all}/endpoints/{endpoint}"),
                format!("{root}/{given}/projects/{project}"),
                format!("{all}/endpoints"),
                format!("{all}/endpoint_groups"),
            ]
        };
        for (id, good) in [(&project, [204, 200, 200, 200]), (&w.seed.demo.0, [403; 4])] {
            let paths = below(id);
            for path in &paths[..2] {
                w.call("PUT", path, &c.admin, ()).await.of(204);
            }
            for (path, status) in paths.iter().zip(good) {
                assert_eq!(w.call("GET", path, &c.warden, ()).await.status, status, "{path}");
            }
        }
        for path in [
            format!("{root}/endpoints/{endpoint}/projects"),
            format!("{root}/endpoint_groups/{group}/projects"),
        ] {
            let ids = async |token: &str| {
                let listed = w.call("GET", &path, token, ()).await.of(200);
                listed["projects"].as_array().unwrap().iter().map(|p| p["id"].clone()).collect::<Vec<_>>()
            };
            assert_eq!(ids(&c.warden).await, [json!(project)], "{path}");
            assert_eq!(ids(&c.admin).await.len(), 2);
        }
    }
}
