//! Projects, users, groups, domains and roles: made, listed, changed, deleted, and misused.

use super::{DEMO, World, password, worlds};
use serde_json::{Value, json};

#[tokio::test]
async fn unknown_fields_are_kept_and_no_secret_is_shown() {
    for w in worlds().await {
        let admin = w.admin().await;
        let user = json!({"user": {
            "name": "한국어 사용자 🌊", "password": "pw", "email": "a@example.org", "domain_id": "default",
            "phone": {"home": [1, 2]}, "id": "chosen", "links": "mine",
        }});
        let made = w.call("POST", "/v3/users", &admin, user).await.of(201);
        let user = &made["user"];
        let id = user["id"].as_str().unwrap().to_owned();
        assert_eq!(id.len(), 32);
        assert_eq!(user["name"], "한국어 사용자 🌊");
        assert_eq!(user["email"], "a@example.org");
        assert_eq!(user["phone"], json!({"home": [1, 2]}));
        assert_eq!(user["options"], json!({}));
        assert_eq!(user["links"]["self"], format!("http://cloud.example:5240/identity/v3/users/{id}"));
        assert!(user.get("password").is_none() && user.get("default_project_id").is_none());
        assert_eq!(user["password_expires_at"], Value::Null);
        let change = json!({"user": {"phone": null, "nick": "sea", "enabled": false, "description": "d"}});
        let changed = w.call("PATCH", &format!("/v3/users/{id}"), &admin, change).await.of(200);
        let shown = w.call("GET", &format!("/v3/users/{id}"), &admin, ()).await.of(200);
        assert_eq!(shown, changed);
        assert_eq!(shown["user"]["email"], "a@example.org");
        assert_eq!(shown["user"]["nick"], "sea");
        assert_eq!(shown["user"]["phone"], Value::Null);
        assert_eq!((&shown["user"]["enabled"], &shown["user"]["description"]), (&json!(false), &json!("d")));
        let found = w.call("GET", "/v3/users?enabled=false", &admin, ()).await.of(200);
        assert_eq!(found["users"], json!([shown["user"]]));
        w.call("DELETE", &format!("/v3/users/{id}"), &admin, ()).await.of(204);
        let gone = w.call("GET", &format!("/v3/users/{id}"), &admin, ()).await.of(404);
        assert_eq!(gone["error"]["message"], format!("Could not find user: {id}."));
        w.call("DELETE", &format!("/v3/users/{id}"), &admin, ()).await.of(404);
    }
}

#[tokio::test]
async fn projects_stand_in_a_tree() {
    for w in worlds().await {
        let admin = w.admin().await;
        let top = w.project(&admin, json!({"name": "top", "colour": "blue"})).await;
        let below = w.project(&admin, json!({"name": "below", "parent_id": top})).await;
        let shown = w
            .call("GET", &format!("/v3/projects/{below}?parents_as_list&parents_as_ids"), &admin, ())
            .await
            .of(200);
        assert_eq!(shown["project"]["parent_id"], json!(top));
        assert_eq!(shown["project"]["domain_id"], "default");
        assert_eq!(shown["project"]["is_domain"], false);
        assert_eq!(shown["project"]["parents"], json!({top.as_str(): {"default": null}}));
        let tree = w.call("GET", &format!("/v3/projects/{top}?subtree_as_list"), &admin, ()).await.of(200);
        assert_eq!(tree["project"]["subtree"][0]["project"]["id"], json!(below));
        assert_eq!(tree["project"]["colour"], "blue");
        let children = w.call("GET", &format!("/v3/projects?parent_id={top}"), &admin, ()).await.of(200);
        assert_eq!(children["projects"][0]["id"], json!(below));

        let (top_path, below_path) = (format!("/v3/projects/{top}"), format!("/v3/projects/{below}"));
        let enabled = |on: bool| json!({"project": {"enabled": on}});
        w.call("DELETE", &top_path, &admin, ()).await.of(403);
        w.call("PATCH", &top_path, &admin, enabled(false)).await.of(403);
        w.call("PATCH", &below_path, &admin, enabled(false)).await.of(200);
        w.call("PATCH", &top_path, &admin, enabled(false)).await.of(200);
        w.call("PATCH", &below_path, &admin, enabled(true)).await.of(403);
        let under_disabled = json!({"project": {"name": "late", "parent_id": top}});
        w.call("POST", "/v3/projects", &admin, under_disabled).await.of(403);
        w.call("PATCH", &below_path, &admin, json!({"project": {"parent_id": "default"}})).await.of(403);
        w.call("PATCH", &below_path, &admin, json!({"project": {"domain_id": "other"}})).await.of(400);
        w.call("PATCH", &below_path, &admin, json!({"project": {"parent_id": top, "domain_id": "default"}}))
            .await
            .of(200);
        w.call("DELETE", &below_path, &admin, ()).await.of(204);
        w.call("DELETE", &top_path, &admin, ()).await.of(204);
        for (field, status) in [("parent_id", 400), ("domain_id", 404)] {
            let lost = json!({"project": {"name": "lost", field: "nothing"}});
            w.call("POST", "/v3/projects", &admin, lost).await.of(status);
        }
        let mut parent = w.project(&admin, json!({"name": "p0"})).await;
        for level in 1..5 {
            parent = w.project(&admin, json!({"name": format!("p{level}"), "parent_id": parent})).await;
        }
        w.call("POST", "/v3/projects", &admin, json!({"project": {"name": "p5", "parent_id": parent}}))
            .await
            .of(403);
    }
}

#[tokio::test]
async fn tags() {
    for w in worlds().await {
        let admin = w.admin().await;
        let id = w.project(&admin, json!({"name": "tagged", "tags": ["blue", "red"]})).await;
        let path = format!("/v3/projects/{id}/tags");
        assert_eq!(w.call("GET", &path, &admin, ()).await.of(200)["tags"], json!(["blue", "red"]));
        w.call("PUT", &format!("{path}/green%20sea"), &admin, ()).await.of(201);
        w.call("GET", &format!("{path}/green%20sea"), &admin, ()).await.of(204);
        w.call("DELETE", &format!("{path}/blue"), &admin, ()).await.of(204);
        w.call("DELETE", &format!("{path}/blue"), &admin, ()).await.of(404);
        w.call("GET", &format!("{path}/blue"), &admin, ()).await.of(404);
        let count = async |query: &str| {
            let list = w.call("GET", &format!("/v3/projects?{query}"), &admin, ()).await.of(200);
            list["projects"].as_array().unwrap().len()
        };
        assert_eq!(count("tags=red").await, 1);
        assert_eq!(count("tags=red,blue").await, 0);
        assert_eq!(count("tags-any=red,blue").await, 1);
        assert_eq!(count("not-tags=red").await, 2);
        assert_eq!(count("not-tags-any=red,blue").await, 2);
        for bad in
            [json!(["a,b"]), json!(["a/b"]), json!([""]), json!([1]), json!("x"), json!(["x".repeat(256)])]
        {
            w.call("PUT", &path, &admin, json!({"tags": bad})).await.of(400);
        }
        let many: Vec<String> = (0..81).map(|i| i.to_string()).collect();
        w.call("PUT", &path, &admin, json!({"tags": many})).await.of(400);
        w.call("PUT", &path, &admin, json!({"tags": ["one", "one"]})).await.of(400);
        let put = w.call("PUT", &path, &admin, json!({"tags": ["one"]})).await.of(200);
        assert_eq!(put["tags"], json!(["one"]));
        w.call("DELETE", &path, &admin, ()).await.of(204);
        assert_eq!(w.call("GET", &path, &admin, ()).await.of(200)["tags"], json!([]));
        w.call("GET", "/v3/projects/nothing/tags", &admin, ()).await.of(404);
    }
}

#[tokio::test]
async fn lists_are_cut_into_pages() {
    for w in worlds().await {
        let admin = w.admin().await;
        for i in 0..5 {
            w.call("POST", "/v3/roles", &admin, json!({"role": {"name": format!("extra {i}")}}))
                .await
                .of(201);
        }
        let all = w.call("GET", "/v3/roles", &admin, ()).await.of(200);
        assert_eq!(all["roles"].as_array().unwrap().len(), 10);
        assert_eq!(all["links"]["self"], "http://cloud.example:5240/identity/v3/roles");
        assert_eq!((&all["links"]["next"], all.get("truncated")), (&Value::Null, None));
        let (mut path, mut seen) = ("/v3/roles?limit=3".to_owned(), Vec::new());
        loop {
            let page = w.call("GET", &path, &admin, ()).await.of(200);
            seen.extend(page["roles"].as_array().unwrap().clone());
            let Some(next) = page["links"]["next"].as_str() else { break };
            assert_eq!(page["truncated"], true);
            path = next.strip_prefix("http://cloud.example:5240/identity").unwrap().to_owned();
        }
        assert_eq!(json!(seen), all["roles"]);
        for bad in ["limit=0", "limit=-1", "limit=x", "marker=nothing", "limit=1&marker=%00"] {
            let path = format!("/v3/roles?{bad}");
            w.call("GET", &path, &admin, ()).await.of(400);
        }
        assert_eq!(
            w.call("GET", "/v3/users?limit=5&name=demo", &admin, ()).await.of(200)["users"][0]["name"],
            "demo"
        );
    }
}

#[tokio::test]
async fn groups_and_who_is_in_them() {
    for w in worlds().await {
        let admin = w.admin().await;
        let user = w.user(&admin, "member", "pw").await;
        let body = json!({"group": {"name": "crew", "description": "d", "domain_id": "default", "x": 1}});
        let made = w.call("POST", "/v3/groups", &admin, body).await.of(201);
        let id = made["group"]["id"].as_str().unwrap().to_owned();
        assert_eq!(made["group"]["x"], 1);
        let path = format!("/v3/groups/{id}");
        let member = format!("{path}/users/{user}");
        w.call("HEAD", &member, &admin, ()).await.of(404);
        w.call("PUT", &member, &admin, ()).await.of(204);
        w.call("PUT", &member, &admin, ()).await.of(204);
        w.call("HEAD", &member, &admin, ()).await.of(204);
        let users = w.call("GET", &format!("{path}/users"), &admin, ()).await.of(200);
        assert_eq!(users["users"][0]["id"], json!(user));
        let groups = w.call("GET", &format!("/v3/users/{user}/groups"), &admin, ()).await.of(200);
        assert_eq!(groups["groups"][0]["id"], json!(id));
        w.call("DELETE", &member, &admin, ()).await.of(204);
        w.call("DELETE", &member, &admin, ()).await.of(404);
        w.call("PUT", &format!("{path}/users/nobody"), &admin, ()).await.of(404);
        w.call("PUT", &format!("/v3/groups/nothing/users/{user}"), &admin, ()).await.of(404);
        let change = json!({"group": {"name": "fellows", "description": null}});
        let changed = w.call("PATCH", &path, &admin, change).await.of(200);
        assert_eq!((&changed["group"]["name"], &changed["group"]["x"]), (&json!("fellows"), &json!(1)));
        assert_eq!(w.call("GET", &path, &admin, ()).await.of(200), changed);
        w.call("PATCH", &path, &admin, json!({"group": {"domain_id": "x"}})).await.of(400);
        w.call("DELETE", &path, &admin, ()).await.of(204);
        w.call("GET", &path, &admin, ()).await.of(404);
    }
}

#[tokio::test]
async fn domains_and_what_is_in_them() {
    for w in worlds().await {
        let admin = w.admin().await;
        let made =
            w.call("POST", "/v3/domains", &admin, json!({"domain": {"name": "d", "x": [1]}})).await.of(201);
        let id = made["domain"]["id"].as_str().unwrap().to_owned();
        assert_eq!(made["domain"]["x"], json!([1]));
        let path = format!("/v3/domains/{id}");
        assert_eq!(w.call("GET", &path, &admin, ()).await.of(200), made);
        w.project(&admin, json!({"name": "admin", "domain_id": id})).await;
        w.call("POST", "/v3/users", &admin, json!({"user": {"name": "admin", "domain_id": id}}))
            .await
            .of(201);
        w.call("POST", "/v3/groups", &admin, json!({"group": {"name": "g", "domain_id": id}})).await.of(201);
        w.call("POST", "/v3/roles", &admin, json!({"role": {"name": "admin", "domain_id": id}}))
            .await
            .of(201);
        let roles = w.call("GET", &format!("/v3/roles?domain_id={id}"), &admin, ()).await.of(200);
        assert_eq!(roles["roles"].as_array().unwrap().len(), 1);
        let refused = w.call("DELETE", &path, &admin, ()).await.of(403);
        let message = "Cannot delete a domain that is enabled, please disable it first.";
        assert_eq!(refused["error"]["message"], message);
        let change = json!({"domain": {"enabled": false, "description": "off"}});
        assert_eq!(w.call("PATCH", &path, &admin, change).await.of(200)["domain"]["description"], "off");
        let off = w.call("GET", "/v3/domains?enabled=false", &admin, ()).await.of(200);
        assert_eq!(off["domains"].as_array().unwrap().len(), 1);
        w.call("DELETE", &path, &admin, ()).await.of(204);
        for plural in ["users", "projects", "groups"] {
            let left = w.call("GET", &format!("/v3/{plural}?domain_id={id}"), &admin, ()).await.of(200);
            assert_eq!(left[plural], json!([]), "{plural}");
        }
        w.call("POST", "/v3/users", &admin, json!({"user": {"name": "u", "domain_id": id}})).await.of(404);
    }
}

#[tokio::test]
async fn a_domain_is_also_a_project_that_acts_as_one() {
    for w in worlds().await {
        let admin = w.admin().await;
        let body = json!({"project": {"name": "realm", "is_domain": true, "domain_id": null, "x": 1}});
        let made = w.call("POST", "/v3/projects", &admin, body).await.of(201)["project"].clone();
        assert_eq!(
            (&made["is_domain"], &made["domain_id"], &made["x"]),
            (&json!(true), &json!(null), &json!(1))
        );
        let id = made["id"].as_str().unwrap();
        let path = format!("/v3/projects/{id}");
        assert_eq!(w.call("GET", &path, &admin, ()).await.of(200)["project"], made);
        let list = w.call("GET", "/v3/projects?is_domain=true", &admin, ()).await.of(200);
        assert!(list["projects"].as_array().unwrap().contains(&made));
        let domain = w.call("GET", &format!("/v3/domains/{id}"), &admin, ()).await.of(200);
        assert!(domain["domain"].get("is_domain").is_none());
        let inside = w.project(&admin, json!({"name": "inside", "parent_id": id})).await;
        let shown = w.call("GET", &format!("/v3/projects/{inside}"), &admin, ()).await.of(200);
        assert_eq!(shown["project"]["domain_id"], json!(id));
        w.call("GET", &path, &w.demo().await, ()).await.of(403);
        w.call("DELETE", &path, &admin, ()).await.of(403);
        let off = w.call("PATCH", &path, &admin, json!({"project": {"enabled": false}})).await.of(200);
        assert_eq!(off["project"]["enabled"], false);
        w.call("DELETE", &path, &admin, ()).await.of(204);
        w.call("GET", &path, &admin, ()).await.of(404);
    }
}

#[tokio::test]
async fn names_are_given_once() {
    for w in worlds().await {
        let admin = w.admin().await;
        for (plural, noun) in [("projects", "project"), ("users", "user"), ("groups", "group")] {
            let make = |name: &str| json!({noun: {"name": name, "domain_id": "default"}});
            let path = format!("/v3/{plural}");
            w.call("POST", &path, &admin, make("one")).await.of(201);
            let two = w.call("POST", &path, &admin, make("two")).await.of(201);
            let taken = w.call("POST", &path, &admin, make("one")).await.of(409);
            assert_eq!(
                taken["error"]["message"],
                format!(
                    "Conflict occurred attempting to store {noun} - Duplicate entry found with name one at domain ID default."
                )
            );
            let two = format!("{path}/{}", two[noun]["id"].as_str().unwrap());
            w.call("PATCH", &two, &admin, json!({noun: {"name": "one"}})).await.of(409);
            w.call("PATCH", &two, &admin, json!({noun: {"name": "two"}})).await.of(200);
        }
        for (plural, noun) in [("roles", "role"), ("domains", "domain")] {
            let path = format!("/v3/{plural}");
            w.call("POST", &path, &admin, json!({noun: {"name": "one"}})).await.of(201);
            w.call("POST", &path, &admin, json!({noun: {"name": "one"}})).await.of(409);
        }
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_with_reasons() {
    for w in worlds().await {
        let admin = w.admin().await;
        let nouns = [
            ("projects", "project", 64),
            ("users", "user", 255),
            ("groups", "group", 64),
            ("domains", "domain", 64),
            ("roles", "role", 255),
        ];
        for (plural, noun, longest) in nouns {
            let path = format!("/v3/{plural}");
            let long = "가".repeat(longest);
            w.call("POST", &path, &admin, json!({noun: {"name": long}})).await.of(201);
            let bad = [
                json!({noun: {"name": format!("{long}.")}}),
                json!({noun: {"name": ""}}),
                json!({noun: {"name": "  "}}),
                json!({noun: {"name": null}}),
                json!({noun: {"name": 7}}),
                json!({noun: {"name": "a\u{0}b"}}),
                json!({noun: {}}),
                json!({noun: []}),
                json!({noun: {"name": "n", "description": ["d"]}}),
                json!({noun: {"name": "n", "options": 1}}),
                json!({noun: {"name": "n", "big": "x".repeat(70_000)}}),
                json!({"other": {"name": "n"}}),
                json!(["n"]),
                json!(null),
            ];
            for body in bad {
                let refused = w.call("POST", &path, &admin, body.clone()).await;
                assert_eq!(refused.status, 400, "{plural} {body}: {}", refused.text);
                assert!(!refused.body["error"]["message"].as_str().unwrap().is_empty());
            }
            for raw in [&b"{\"name\""[..], b"", b"\xff\xfe", b"[[[[[[", b"{}{}"] {
                w.call("POST", &path, &admin, raw).await.of(400);
            }
            let deep = "[".repeat(100_000);
            w.call("POST", &path, &admin, deep.as_bytes()).await.of(400);
            w.call("POST", &path, &admin, vec![b' '; 2 << 20].as_slice()).await.of(413);
            w.call("PATCH", &format!("{path}/nothing"), &admin, json!({noun: {}})).await.of(404);
            for odd in ["%00", "%ff", "%27%22--", "..%2f..", "%EA%B0%80"] {
                w.call("GET", &format!("{path}/{odd}"), &admin, ()).await.of(404);
            }
        }
        for (plural, noun) in [("projects", "project"), ("users", "user"), ("domains", "domain")] {
            let body = json!({noun: {"name": "n", "enabled": "False"}});
            w.call("POST", &format!("/v3/{plural}"), &admin, body).await.of(400);
        }
        w.call("POST", "/v3/users", &admin, json!({"user": {"name": "n", "password": ""}})).await.of(400);
        w.call("POST", "/v3/users", &admin, json!({"user": {"name": "n", "password": "x".repeat(4097)}}))
            .await
            .of(400);
    }
}

#[tokio::test]
async fn every_change_is_on_record() {
    let w = World::on_sqlite().await;
    let admin = w.admin().await;
    let id = w.project(&admin, json!({"name": "seen"})).await;
    w.call("PATCH", &format!("/v3/projects/{id}"), &admin, json!({"project": {"x": 1}})).await.of(200);
    w.call("DELETE", &format!("/v3/projects/{id}"), &admin, ()).await.of(204);
    let actions =
        w.db.read(move |tx| {
            tx.rows("SELECT action FROM audit WHERE target = $1 ORDER BY id", store::params![id], |r| {
                r.get::<String>(0)
            })
        })
        .await
        .unwrap();
    assert_eq!(actions, ["project.create", "project.update", "project.delete"]);
}

#[tokio::test]
async fn a_projects_family_is_shown_as_far_as_one_may_look() {
    for w in worlds().await {
        let admin = w.admin().await;
        let below = async |name: &str, parent: &str| {
            w.project(&admin, json!({"name": name, "parent_id": parent, "description": "what it is for"}))
                .await
        };
        let top = w.project(&admin, json!({"name": "top"})).await;
        let (mine, sibling) = (below("mine", &top).await, below("sibling", &top).await);
        let (child, secret) = (below("child", &mine).await, below("secret", &mine).await);
        let user = w.id_of(&admin, "users", "demo").await;
        let reader = w.id_of(&admin, "roles", "reader").await;
        for project in [&mine, &child] {
            let path = format!("/v3/projects/{project}/users/{user}/roles/{reader}");
            w.call("PUT", &path, &admin, ()).await.of(204);
        }
        let scope = json!({"project": {"id": mine}});
        let demo = w.token(json!({"identity": password("demo", DEMO), "scope": scope})).await;
        let family = async |token: &str, query: &str| {
            let path = format!("/v3/projects/{mine}?{query}");
            w.call("GET", &path, token, ()).await.of(200)["project"].clone()
        };
        let ids = |list: &Value| {
            list.as_array().unwrap().iter().map(|p| p["project"]["id"].clone()).collect::<Vec<_>>()
        };
        let shown = family(&demo, "parents_as_list&subtree_as_list").await;
        assert_eq!(ids(&shown["parents"]), [] as [Value; 0]);
        assert_eq!(ids(&shown["subtree"]), [json!(child)]);
        let shown = family(&admin, "parents_as_list=1&subtree_as_list=True").await;
        assert_eq!(ids(&shown["parents"]), [json!(top)]);
        assert_eq!(ids(&shown["subtree"]), [json!(child), json!(secret)]);
        let shown = family(&admin, "parents_as_list=false&subtree_as_ids=0").await;
        assert!(shown.get("parents").is_none() && shown.get("subtree").is_none(), "{shown}");
        assert!(!sibling.is_empty());
    }
}
