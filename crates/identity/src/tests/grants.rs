//! Roles: given, inherited, implied, through groups, and taken away.

use super::{World, password, project, worlds};
use serde_json::{Value, json};

/// The names of the roles in a new token, sorted; none when the login is refused.
async fn roles(w: &World, scope: Value) -> Option<Vec<String>> {
    let answer = w.login(json!({"identity": password("worker", "pw"), "scope": scope})).await;
    if answer.status == 401 {
        return None;
    }
    let body = answer.of(201);
    let names = body["token"]["roles"].as_array().unwrap().iter();
    let mut names: Vec<_> = names.map(|r| r["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    Some(names)
}

fn some(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|&n| n.to_owned()).collect())
}

struct Cast {
    admin: String,
    user: String,
    reader: String,
    member: String,
    manager: String,
}

async fn cast(w: &World) -> Cast {
    let admin = w.admin().await;
    let user = w.user(&admin, "worker", "pw").await;
    let reader = w.id_of(&admin, "roles", "reader").await;
    let member = w.id_of(&admin, "roles", "member").await;
    let manager = w.id_of(&admin, "roles", "manager").await;
    Cast { admin, user, reader, member, manager }
}

#[tokio::test]
async fn a_role_counts_from_the_moment_it_is_given_until_it_is_taken() {
    for w in worlds().await {
        let c = cast(&w).await;
        let on = format!("/v3/projects/{}/users/{}/roles", w.seed.demo, c.user);
        let one = format!("{on}/{}", c.member);
        assert_eq!(roles(&w, project("demo")).await, None);
        w.call("HEAD", &one, &c.admin, ()).await.of(404);
        w.call("PUT", &one, &c.admin, ()).await.of(204);
        w.call("PUT", &one, &c.admin, ()).await.of(204);
        w.call("HEAD", &one, &c.admin, ()).await.of(204);
        w.call("GET", &one, &c.admin, ()).await.of(204);
        assert_eq!(roles(&w, project("demo")).await, some(&["member", "reader"]));
        let token = w.token(json!({"identity": password("worker", "pw"), "scope": project("demo")})).await;
        let listed = w.call("GET", &on, &c.admin, ()).await.of(200);
        assert_eq!(listed["roles"].as_array().unwrap().len(), 1);
        assert_eq!(listed["roles"][0]["name"], "member");
        w.call("DELETE", &one, &c.admin, ()).await.of(204);
        let gone = w.call("DELETE", &one, &c.admin, ()).await.of(404);
        assert!(
            gone["error"]["message"]
                .as_str()
                .unwrap()
                .starts_with("Could not find role assignment with role: ")
        );
        assert!(!w.good(&token).await, "no role is left");
        for missing in [
            format!("/v3/projects/nothing/users/{}/roles/{}", c.user, c.member),
            format!("/v3/projects/{}/users/nobody/roles/{}", w.seed.demo, c.member),
            format!("{on}/nothing"),
            format!("/v3/domains/nothing/users/{}/roles/{}", c.user, c.member),
        ] {
            for method in ["PUT", "DELETE", "HEAD"] {
                w.call(method, &missing, &c.admin, ()).await.of(404);
            }
        }
    }
}

#[tokio::test]
async fn roles_on_domains_and_the_system() {
    for w in worlds().await {
        let c = cast(&w).await;
        let domain = format!("/v3/domains/default/users/{}/roles/{}", c.user, c.reader);
        w.call("PUT", &domain, &c.admin, ()).await.of(204);
        assert_eq!(roles(&w, json!({"domain": {"id": "default"}})).await, some(&["reader"]));
        assert_eq!(roles(&w, project("demo")).await, None, "not inherited");
        let system = format!("/v3/system/users/{}/roles/{}", c.user, c.manager);
        w.call("HEAD", &system, &c.admin, ()).await.of(404);
        w.call("PUT", &system, &c.admin, ()).await.of(204);
        w.call("HEAD", &system, &c.admin, ()).await.of(204);
        let everything = json!({"system": {"all": true}});
        assert_eq!(roles(&w, everything.clone()).await, some(&["manager", "member", "reader"]));
        let token = w.token(json!({"identity": password("worker", "pw"), "scope": everything})).await;
        w.call("GET", "/v3/users", &token, ()).await.of(200);
        w.call("POST", "/v3/users", &token, json!({"user": {"name": "n"}})).await.of(403);
        let mine = w.call("GET", "/v3/auth/system", &token, ()).await.of(200);
        assert_eq!(mine["system"], json!([{"all": true}]));
        let listed = w.call("GET", &format!("/v3/system/users/{}/roles", c.user), &c.admin, ()).await.of(200);
        assert_eq!(listed["roles"][0]["name"], "manager");
        w.call("DELETE", &system, &c.admin, ()).await.of(204);
        assert!(!w.good(&token).await);
        assert_eq!(w.call("GET", "/v3/auth/system", &w.demo().await, ()).await.of(200)["system"], json!([]));
    }
}

#[tokio::test]
async fn inherited_roles_count_below_and_only_there() {
    for w in worlds().await {
        let c = cast(&w).await;
        let top = w.project(&c.admin, json!({"name": "top"})).await;
        let below = w.project(&c.admin, json!({"name": "below", "parent_id": top})).await;
        let on_top = format!(
            "/v3/OS-INHERIT/projects/{top}/users/{}/roles/{}/inherited_to_projects",
            c.user, c.member
        );
        w.call("PUT", &on_top, &c.admin, ()).await.of(204);
        w.call("HEAD", &on_top, &c.admin, ()).await.of(204);
        assert_eq!(roles(&w, project("top")).await, None);
        assert_eq!(roles(&w, project("below")).await, some(&["member", "reader"]));
        let token = w.token(json!({"identity": password("worker", "pw"), "scope": project("below")})).await;
        let mine = w.call("GET", "/v3/auth/projects", &token, ()).await.of(200);
        assert_eq!(mine["projects"][0]["id"], json!(below));
        assert_eq!(mine["projects"].as_array().unwrap().len(), 1);
        w.call("DELETE", &on_top, &c.admin, ()).await.of(204);
        assert_eq!(roles(&w, project("below")).await, None);

        let on_domain = format!(
            "/v3/OS-INHERIT/domains/default/users/{}/roles/{}/inherited_to_projects",
            c.user, c.reader
        );
        w.call("PUT", &on_domain, &c.admin, ()).await.of(204);
        for name in ["top", "below", "demo", "admin"] {
            assert_eq!(roles(&w, project(name)).await, some(&["reader"]), "{name}");
        }
        assert_eq!(roles(&w, json!({"domain": {"id": "default"}})).await, None);
        let mine = w.call("GET", &format!("/v3/users/{}/projects", c.user), &c.admin, ()).await.of(200);
        assert_eq!(mine["projects"].as_array().unwrap().len(), 4);
    }
}

#[tokio::test]
async fn groups_pass_their_roles_on() {
    for w in worlds().await {
        let c = cast(&w).await;
        let group = json!({"group": {"name": "crew", "domain_id": "default"}});
        let group = w.call("POST", "/v3/groups", &c.admin, group).await.of(201)["group"]["id"].clone();
        let group = group.as_str().unwrap();
        let one = format!("/v3/projects/{}/groups/{group}/roles/{}", w.seed.demo, c.member);
        w.call("PUT", &one, &c.admin, ()).await.of(204);
        assert_eq!(roles(&w, project("demo")).await, None);
        w.call("PUT", &format!("/v3/groups/{group}/users/{}", c.user), &c.admin, ()).await.of(204);
        assert_eq!(roles(&w, project("demo")).await, some(&["member", "reader"]));
        let effective = format!("/v3/role_assignments?effective&user.id={}&include_names", c.user);
        let list = w.call("GET", &effective, &c.admin, ()).await.of(200);
        let lines = list["role_assignments"].as_array().unwrap();
        assert_eq!(lines.len(), 2, "{list}");
        let member = lines.iter().find(|l| l["role"]["name"] == "member").unwrap();
        assert_eq!(member["user"]["name"], "worker");
        assert_eq!(member["user"]["domain"], json!({"id": "default", "name": "Default"}));
        assert_eq!(member["scope"]["project"]["name"], "demo");
        assert!(member["links"]["membership"].as_str().unwrap().contains(group));
        w.call("DELETE", &format!("/v3/groups/{group}/users/{}", c.user), &c.admin, ()).await.of(204);
        assert_eq!(roles(&w, project("demo")).await, None);
    }
}

#[tokio::test]
async fn implied_roles_can_be_changed() {
    for w in worlds().await {
        let c = cast(&w).await;
        let role = w.call("POST", "/v3/roles", &c.admin, json!({"role": {"name": "auditor"}})).await.of(201);
        let auditor = role["role"]["id"].as_str().unwrap();
        let one = format!("/v3/projects/{}/users/{}/roles/{auditor}", w.seed.demo, c.user);
        w.call("PUT", &one, &c.admin, ()).await.of(204);
        assert_eq!(roles(&w, project("demo")).await, some(&["auditor"]));
        let rule = format!("/v3/roles/{auditor}/implies/{}", c.reader);
        w.call("HEAD", &rule, &c.admin, ()).await.of(404);
        let put = w.call("PUT", &rule, &c.admin, ()).await.of(201);
        assert_eq!(put["role_inference"]["implies"]["name"], "reader");
        assert_eq!(w.call("GET", &rule, &c.admin, ()).await.of(200), put);
        let head = w.call("HEAD", &rule, &c.admin, ()).await;
        assert_eq!((head.status, head.text.as_str()), (204, ""));
        assert_eq!(roles(&w, project("demo")).await, some(&["auditor", "reader"]));
        // Round in a circle.
        w.call("PUT", &format!("/v3/roles/{}/implies/{auditor}", c.reader), &c.admin, ()).await.of(201);
        assert_eq!(roles(&w, project("demo")).await, some(&["auditor", "reader"]));
        let list = w.call("GET", &format!("/v3/roles/{auditor}/implies"), &c.admin, ()).await.of(200);
        assert_eq!(list["role_inference"]["implies"].as_array().unwrap().len(), 1);
        let all = w.call("GET", "/v3/role_inferences", &c.admin, ()).await.of(200);
        assert_eq!(all["role_inferences"].as_array().unwrap().len(), 5);
        w.call("DELETE", &rule, &c.admin, ()).await.of(204);
        w.call("DELETE", &rule, &c.admin, ()).await.of(404);
        let admin_role = w.id_of(&c.admin, "roles", "admin").await;
        w.call("PUT", &format!("/v3/roles/{auditor}/implies/{admin_role}"), &c.admin, ()).await.of(403);
        w.call("DELETE", &format!("/v3/roles/{auditor}"), &c.admin, ()).await.of(204);
        assert_eq!(roles(&w, project("demo")).await, None);
    }
}

#[tokio::test]
async fn assignments_are_listed_by_what_is_asked() {
    for w in worlds().await {
        let c = cast(&w).await;
        let count = async |query: &str| {
            let list = w.call("GET", &format!("/v3/role_assignments?{query}"), &c.admin, ()).await.of(200);
            list["role_assignments"].as_array().unwrap().len()
        };
        assert_eq!(count("").await, 5);
        assert_eq!(count(&format!("scope.project.id={}", w.seed.demo)).await, 2);
        assert_eq!(count("scope.domain.id=default").await, 1);
        assert_eq!(count("scope.system=all").await, 1);
        assert_eq!(count(&format!("role.id={}", c.member)).await, 1);
        assert_eq!(count(&format!("user.id={}", c.user)).await, 0);
        let below = w.project(&c.admin, json!({"name": "below", "parent_id": w.seed.demo})).await;
        w.call("PUT", &format!("/v3/projects/{below}/users/{}/roles/{}", c.user, c.reader), &c.admin, ())
            .await
            .of(204);
        assert_eq!(count(&format!("scope.project.id={}&include_subtree=1", w.seed.demo)).await, 3);
        assert_eq!(count(&format!("effective&scope.project.id={}", w.seed.demo)).await, 6);
        let path = format!("/v3/role_assignments?user.id={}", c.user);
        let one = w.call("GET", &path, &c.admin, ()).await.of(200)["role_assignments"][0].clone();
        assert_eq!(one["scope"], json!({"project": {"id": below}}));
        assert_eq!((&one["user"], &one["role"]), (&json!({"id": c.user}), &json!({"id": c.reader})));
        let place = format!(
            "http://cloud.example:5240/identity/v3/projects/{below}/users/{}/roles/{}",
            c.user, c.reader
        );
        assert_eq!(one["links"]["assignment"], json!(place));
        for bad in [
            "user.id=a&group.id=b",
            "scope.project.id=a&scope.domain.id=b",
            "effective&group.id=b",
            "include_subtree=true",
            "effective=perhaps",
        ] {
            w.call("GET", &format!("/v3/role_assignments?{bad}"), &c.admin, ()).await.of(400);
        }
    }
}

#[tokio::test]
async fn what_is_deleted_leaves_no_role_behind() {
    for w in worlds().await {
        let c = cast(&w).await;
        let id = w.project(&c.admin, json!({"name": "short"})).await;
        let grant = format!("/v3/projects/{id}/users/{}/roles/{}", c.user, c.member);
        w.call("PUT", &grant, &c.admin, ()).await.of(204);
        let token = w.token(json!({"identity": password("worker", "pw"), "scope": project("short")})).await;
        w.call("DELETE", &format!("/v3/projects/{id}"), &c.admin, ()).await.of(204);
        assert!(!w.good(&token).await);
        let grant = format!("/v3/projects/{}/users/{}/roles/{}", w.seed.demo, c.user, c.member);
        w.call("PUT", &grant, &c.admin, ()).await.of(204);
        let token = w.token(json!({"identity": password("worker", "pw"), "scope": project("demo")})).await;
        w.call("DELETE", &format!("/v3/users/{}", c.user), &c.admin, ()).await.of(204);
        assert!(!w.good(&token).await);
        let list = w.call("GET", "/v3/role_assignments", &c.admin, ()).await.of(200);
        assert_eq!(list["role_assignments"].as_array().unwrap().len(), 5);
    }
}
