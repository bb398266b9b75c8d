//! Trusts: given, used, passed on, ended.

use super::{DEMO, World, by_token, password, worlds};
use serde_json::{Value, json};

const ALL: &str = "/v3/OS-TRUST/trusts";

struct Cast {
    admin: String,
    demo: String,
    demo_id: String,
    helper_id: String,
}

async fn cast(w: &World) -> Cast {
    let admin = w.admin().await;
    let helper_id = w.user(&admin, "helper", "pw").await;
    let demo_id = w.id_of(&admin, "users", "demo").await;
    Cast { demo: w.demo().await, demo_id, helper_id, admin }
}

fn body(w: &World, c: &Cast, more: Value) -> Value {
    let mut trust = json!({
        "trustor_user_id": c.demo_id, "trustee_user_id": c.helper_id, "project_id": w.seed.demo,
        "impersonation": false, "roles": [{"name": "member"}],
    });
    trust.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"trust": trust})
}

async fn give(w: &World, c: &Cast, more: Value) -> String {
    let made = w.call("POST", ALL, &c.demo, body(w, c, more)).await.of(201);
    made["trust"]["id"].as_str().unwrap().to_owned()
}

fn scope(who: &str, secret: &str, trust: &str) -> Value {
    json!({"identity": password(who, secret), "scope": {"OS-TRUST:trust": {"id": trust}}})
}

#[tokio::test]
async fn a_trustee_acts_with_the_roles_given() {
    for w in worlds().await {
        let c = cast(&w).await;
        let id = give(&w, &c, json!({"color": "green"})).await;
        let shown = w.call("GET", &format!("{ALL}/{id}"), &c.demo, ()).await.of(200);
        let trust = &shown["trust"];
        assert_eq!((&trust["color"], &trust["deleted_at"]), (&json!("green"), &Value::Null));
        assert_eq!((&trust["redelegation_count"], &trust["remaining_uses"]), (&json!(0), &Value::Null));
        assert_eq!(trust["roles"][0]["name"], "member");
        let login = w.login(scope("helper", "pw", &id)).await;
        let token = login.header("x-subject-token").to_owned();
        let said = login.of(201);
        let said = &said["token"];
        assert_eq!(said["user"]["id"], json!(c.helper_id));
        assert_eq!(said["project"]["id"], json!(w.seed.demo));
        let names: Vec<_> = said["roles"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
        assert_eq!(names, ["member", "reader"]);
        assert_eq!(
            said["OS-TRUST:trust"],
            json!({"id": id, "impersonation": false, "trustor_user": {"id": c.demo_id}, "trustee_user": {"id": c.helper_id}})
        );
        assert!(w.good(&token).await);
        w.login(json!({"identity": by_token(&token)})).await.of(401);
        w.login(scope("demo", DEMO, &id)).await.of(403);
        w.login(scope("helper", "pw", "nothing")).await.of(401);
        w.call("DELETE", &format!("{ALL}/{id}"), &token, ()).await.of(403);
        w.call("DELETE", &format!("{ALL}/{id}"), &c.demo, ()).await.of(204);
        assert!(!w.good(&token).await, "its tokens end with it");
        w.call("GET", &format!("{ALL}/{id}"), &c.demo, ()).await.of(404);
        w.login(scope("helper", "pw", &id)).await.of(401);
    }
}

#[tokio::test]
async fn an_impersonating_token_is_the_trustors_and_no_more() {
    for w in worlds().await {
        let c = cast(&w).await;
        let id = give(&w, &c, json!({"impersonation": true, "roles": [{"name": "reader"}]})).await;
        let token = w.token(scope("helper", "pw", &id)).await;
        let said = w.call("GET", "/v3/auth/tokens", &format!("{token}|{token}"), ()).await.of(200);
        assert_eq!(said["token"]["user"]["id"], json!(c.demo_id));
        let credential = json!({"application_credential": {"name": "more"}});
        let path = format!("/v3/users/{}/application_credentials", c.demo_id);
        w.call("POST", &path, &token, credential).await.of(403);
        w.call("POST", ALL, &token, body(&w, &c, json!({}))).await.of(403);
        // Keys that the trustor has made are not for the trustee.
        let keys = format!("/v3/users/{}/credentials/OS-EC2", c.demo_id);
        let own = w.call("POST", &keys, &c.demo, json!({"tenant_id": w.seed.demo})).await.of(201);
        let own = own["credential"]["access"].as_str().unwrap().to_owned();
        w.call("GET", &format!("{keys}/{own}"), &token, ()).await.of(403);
        w.call("POST", &keys, &token, json!({"tenant_id": w.seed.demo})).await.of(403);
        w.call("GET", "/v3/credentials", &token, ()).await.of(403);
        // The trustor's account, password and roles carry the trust.
        let path = format!("/v3/users/{}", c.demo_id);
        w.call("PATCH", &path, &c.admin, json!({"user": {"enabled": false}})).await.of(200);
        assert!(!w.good(&token).await);
        w.login(scope("helper", "pw", &id)).await.of(403);
        w.call("PATCH", &path, &c.admin, json!({"user": {"enabled": true}})).await.of(200);
        let token = w.token(scope("helper", "pw", &id)).await;
        let member = w.id_of(&c.admin, "roles", "member").await;
        let grant = format!("/v3/projects/{}/users/{}/roles/{member}", w.seed.demo, c.demo_id);
        w.call("DELETE", &grant, &c.admin, ()).await.of(204);
        assert!(!w.good(&token).await);
        w.login(scope("helper", "pw", &id)).await.of(403);
    }
}

#[tokio::test]
async fn uses_are_counted_and_time_ends() {
    for mut w in worlds().await {
        let c = cast(&w).await;
        let id = give(&w, &c, json!({"remaining_uses": 2})).await;
        let first = w.token(scope("helper", "pw", &id)).await;
        let shown = w.call("GET", &format!("{ALL}/{id}"), &c.demo, ()).await.of(200);
        assert_eq!(shown["trust"]["remaining_uses"], 1);
        let second = w.token(scope("helper", "pw", &id)).await;
        w.login(scope("helper", "pw", &id)).await.of(401);
        assert!(w.good(&first).await && w.good(&second).await);
        w.call("GET", &format!("{ALL}/{id}"), &c.demo, ()).await.of(404);
        for bad in [
            json!({"remaining_uses": 0}),
            json!({"expires_at": "bad.123Z"}),
            json!({"expires_at": "2020-01-01T00:00:00Z"}),
            json!({"impersonation": null}),
            json!({"remaining_uses": 1, "allow_redelegation": true}),
        ] {
            assert_eq!(w.call("POST", ALL, &c.demo, body(&w, &c, bad.clone())).await.status, 400, "{bad}");
        }
        let later = json!({"expires_at": "2099-01-31T12:00:00Z"});
        let made = w.call("POST", ALL, &c.demo, body(&w, &c, later)).await.of(201);
        assert_eq!(made["trust"]["expires_at"], "2099-01-31T12:00:00.000000Z");
        let id = made["trust"]["id"].as_str().unwrap().to_owned();
        let token = w.token(scope("helper", "pw", &id)).await;
        w.db.write(move |tx| tx.exec("UPDATE trust SET expires_at = 1 WHERE id = $1", store::params![id]))
            .await
            .unwrap();
        w.router = super::router(&w.sibling().await);
        assert!(!w.good(&token).await);
    }
}

#[tokio::test]
async fn only_ones_own_roles_are_given_and_only_by_oneself() {
    for w in worlds().await {
        let c = cast(&w).await;
        w.call("POST", ALL, &c.demo, body(&w, &c, json!({"roles": []}))).await.of(403);
        w.call("POST", ALL, &c.demo, body(&w, &c, json!({"roles": [{"name": "admin"}]}))).await.of(404);
        w.call("POST", ALL, &c.demo, body(&w, &c, json!({"trustee_user_id": "nobody"}))).await.of(404);
        w.call("POST", ALL, &c.demo, body(&w, &c, json!({"project_id": "nothing"}))).await.of(404);
        w.call("POST", ALL, &c.admin, body(&w, &c, json!({}))).await.of(403);
        let id = give(&w, &c, json!({})).await;
        let helper = w.token(json!({"identity": password("helper", "pw")})).await;
        let other = w.user(&c.admin, "other", "pw").await;
        let stranger = w.token(json!({"identity": password("other", "pw")})).await;
        let one = format!("{ALL}/{id}");
        for (token, status) in [(&c.admin, 200), (&c.demo, 200), (&helper, 200), (&stranger, 403)] {
            w.call("GET", &one, token, ()).await.of(status);
            w.call("GET", &format!("{one}/roles"), token, ()).await.of(status);
        }
        w.call("GET", ALL, &c.demo, ()).await.of(403);
        assert_eq!(w.call("GET", ALL, &c.admin, ()).await.of(200)["trusts"].as_array().unwrap().len(), 1);
        for (token, field, who, n) in [
            (&c.demo, "trustor_user_id", &c.demo_id, 1),
            (&c.demo, "trustee_user_id", &c.demo_id, 0),
            (&helper, "trustee_user_id", &c.helper_id, 1),
            (&stranger, "trustor_user_id", &other, 0),
        ] {
            let list = w.call("GET", &format!("{ALL}?{field}={who}"), token, ()).await.of(200);
            assert_eq!(list["trusts"].as_array().unwrap().len(), n, "{field}");
        }
        w.call("GET", &format!("{ALL}?trustor_user_id={}", c.demo_id), &stranger, ()).await.of(403);
        let member = w.id_of(&c.admin, "roles", "member").await;
        let reader = w.id_of(&c.admin, "roles", "reader").await;
        w.call("HEAD", &format!("{one}/roles/{member}"), &c.demo, ()).await.of(200);
        w.call("HEAD", &format!("{one}/roles/{reader}"), &c.demo, ()).await.of(404);
        w.call("DELETE", &format!("/v3/users/{}", c.helper_id), &c.admin, ()).await.of(204);
        w.call("GET", &one, &c.demo, ()).await.of(404);
    }
}

#[tokio::test]
async fn a_trust_is_passed_on_as_often_as_it_says() {
    for w in worlds().await {
        let c = cast(&w).await;
        w.call(
            "POST",
            ALL,
            &c.demo,
            body(&w, &c, json!({"redelegation_count": 4, "allow_redelegation": true})),
        )
        .await
        .of(403);
        let more = json!({"impersonation": true, "allow_redelegation": true, "redelegation_count": 1});
        let first = give(&w, &c, more).await;
        let token = w.token(scope("helper", "pw", &first)).await;
        let third = w.user(&c.admin, "third", "pw").await;
        let on = |more: Value| {
            let mut all =
                json!({"trustee_user_id": third, "impersonation": true, "allow_redelegation": true});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body(&w, &c, all)
        };
        w.call("POST", ALL, &token, on(json!({"roles": [{"name": "manager"}]}))).await.of(404);
        w.call("POST", ALL, &token, on(json!({"redelegation_count": 1}))).await.of(403);
        w.call("POST", ALL, &token, on(json!({"remaining_uses": 1, "allow_redelegation": false})))
            .await
            .of(403);
        let made = w.call("POST", ALL, &token, on(json!({}))).await.of(201);
        assert_eq!(made["trust"]["redelegated_trust_id"], json!(first));
        assert_eq!(made["trust"]["redelegation_count"], 0);
        let second = made["trust"]["id"].as_str().unwrap().to_owned();
        let further = w.token(scope("third", "pw", &second)).await;
        let once_more =
            w.call("POST", ALL, &further, on(json!({"trustee_user_id": c.helper_id}))).await.of(403);
        assert!(once_more["error"]["message"].as_str().unwrap().contains("Redelegation depth"));
        w.call("DELETE", &format!("{ALL}/{first}"), &c.demo, ()).await.of(204);
        assert!(!w.good(&further).await, "what came from it ends too");
        w.call("GET", &format!("{ALL}/{second}"), &c.admin, ()).await.of(404);
    }
}

#[tokio::test]
async fn a_program_has_nothing_to_do_with_trusts() {
    for w in worlds().await {
        let c = cast(&w).await;
        let given = give(&w, &c, json!({})).await;
        let one = format!("{ALL}/{given}");
        let role = w.id_of(&c.admin, "roles", "member").await;
        let path = format!("/v3/users/{}/application_credentials", c.demo_id);
        for unrestricted in [false, true] {
            let name = format!("unrestricted {unrestricted}");
            let new = json!({"name": name, "unrestricted": unrestricted, "roles": [{"name": "reader"}]});
            let made = w.call("POST", &path, &c.demo, json!({"application_credential": new})).await.of(201);
            let made = &made["application_credential"];
            let identity = json!({"methods": ["application_credential"],
                "application_credential": {"id": made["id"], "secret": made["secret"]}});
            let token = w.token(json!({"identity": identity})).await;
            for (method, path) in [
                ("POST", ALL),
                ("GET", &format!("{ALL}?trustor_user_id={}", c.demo_id)),
                ("GET", &one),
                ("GET", &format!("{one}/roles")),
                ("GET", &format!("{one}/roles/{role}")),
                ("DELETE", &one),
            ] {
                let answer = w.call(method, path, &token, body(&w, &c, json!({}))).await;
                assert_eq!(answer.status, 403, "{name}: {method} {path}: {}", answer.text);
            }
        }
        w.call("GET", &one, &c.demo, ()).await.of(200);
    }
}

#[tokio::test]
async fn a_role_is_given_once_however_often_it_is_named() {
    for w in worlds().await {
        let c = cast(&w).await;
        let role = w.id_of(&c.admin, "roles", "member").await;
        let twice = json!([{"name": "member"}, {"id": role}, {"name": "member"}]);
        let made = w.call("POST", ALL, &c.demo, body(&w, &c, json!({"roles": twice}))).await.of(201);
        assert_eq!(made["trust"]["roles"].as_array().unwrap().len(), 1);
        let many = |n: usize| json!({"roles": vec![json!({"name": "member"}); n]});
        w.call("POST", ALL, &c.demo, body(&w, &c, many(100))).await.of(201);
        w.call("POST", ALL, &c.demo, body(&w, &c, many(101))).await.of(400);
    }
}

#[tokio::test]
async fn a_trust_passed_on_in_ones_own_name_is_good_while_its_giver_is() {
    for w in worlds().await {
        let c = cast(&w).await;
        let more = json!({"allow_redelegation": true, "redelegation_count": 1});
        let first = give(&w, &c, more).await;
        let token = w.token(scope("helper", "pw", &first)).await;
        let third = w.user(&c.admin, "third", "pw").await;
        let on = json!({"trustor_user_id": c.helper_id, "trustee_user_id": third});
        let made = w.call("POST", ALL, &token, body(&w, &c, on)).await.of(201);
        let second = made["trust"]["id"].as_str().unwrap().to_owned();
        let further = w.token(scope("third", "pw", &second)).await;
        assert!(w.good(&further).await);
        let said = w.call("GET", "/v3/auth/tokens", &format!("{further}|{further}"), ()).await.of(200);
        assert_eq!(said["token"]["user"]["id"], json!(third));
        assert_eq!(said["token"]["roles"][0]["name"], "member");
        // The roles are demo's, who gave them.
        let path = format!("/v3/users/{}", c.demo_id);
        w.call("PATCH", &path, &c.admin, json!({"user": {"enabled": false}})).await.of(200);
        assert!(!w.good(&further).await);
        w.login(scope("third", "pw", &second)).await.of(403);
        w.call("PATCH", &path, &c.admin, json!({"user": {"enabled": true}})).await.of(200);
        assert!(!w.good(&further).await, "a token from before");
        let further = w.token(scope("third", "pw", &second)).await;
        let member = w.id_of(&c.admin, "roles", "member").await;
        let grant = format!("/v3/projects/{}/users/{}/roles/{member}", w.seed.demo, c.demo_id);
        w.call("DELETE", &grant, &c.admin, ()).await.of(204);
        assert!(!w.good(&further).await);
        w.login(scope("third", "pw", &second)).await.of(403);
    }
}

#[tokio::test]
async fn a_trusts_token_ends_with_the_trust() {
    for w in worlds().await {
        let c = cast(&w).await;
        let soon = base::Micros::now().plus(std::time::Duration::from_secs(3600)).micros_z();
        let id = give(&w, &c, json!({"expires_at": soon})).await;
        let said = w.login(scope("helper", "pw", &id)).await.of(201);
        assert_eq!(said["token"]["expires_at"], json!(soon));
    }
}
