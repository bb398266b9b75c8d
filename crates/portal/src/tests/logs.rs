//! Who did what, and who may know of it.

use super::world::{ADMIN, Browser, DEMO, World, worlds};
use serde_json::{Value, json};
use store::log::{Level, event};

async fn ask(w: &World, who: &Browser, query: &str) -> Value {
    who.ask(w, "GET", &format!("/hanok/v1/{query}"), Value::Null).await.of(200)
}

fn actions(body: &Value) -> Vec<String> {
    body["audit"].as_array().unwrap().iter().map(|r| r["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_can_be_read() {
    for w in worlds().await {
        let admin = w.sign_in("admin", ADMIN).await;
        let wish = json!({"user": {"name": "worker", "password": "pw"}});
        let made = admin.ask(&w, "POST", "/identity/v3/users", wish).await.of(201);
        let id = made["user"]["id"].as_str().unwrap();
        let path = format!("/identity/v3/users/{id}");
        admin.ask(&w, "PATCH", &path, json!({"user": {"enabled": false}})).await.of(200);
        admin.ask(&w, "DELETE", &path, Value::Null).await.of(204);
        let body = ask(&w, &admin, &format!("audit?target={id}")).await;
        assert_eq!(actions(&body), ["user.delete", "user.update", "user.create"], "newest first");
        let row = &body["audit"][0];
        assert_eq!((&row["user_name"], &row["project_name"]), (&json!("admin"), &json!("admin")));
        assert!(row["request_id"].as_str().unwrap().starts_with("req-"));
        let page = ask(&w, &admin, &format!("audit?target={id}&limit=2")).await;
        assert_eq!(actions(&page).len(), 2);
        let next = page["links"]["next"].as_str().unwrap().split_once("/hanok/v1/").unwrap().1;
        let rest = ask(&w, &admin, next).await;
        assert_eq!(actions(&rest), ["user.create"]);
        assert_eq!(rest["links"]["next"], Value::Null);
        for (query, count) in [
            ("action=user.", 3),
            ("action=user.create", 1),
            ("since=2099-01-01T00:00:00Z", 0),
            ("until=2000-01-01T00:00:00Z", 0),
        ] {
            let some = ask(&w, &admin, &format!("audit?{query}&target={id}")).await;
            assert_eq!(actions(&some).len(), count, "{query}");
        }
        for bad in ["since=soon", "limit=0"] {
            admin.ask(&w, "GET", &format!("/hanok/v1/audit?{bad}"), Value::Null).await.of(400);
        }
        w.send("GET", "/hanok/v1/audit", &[], Value::Null).await.of(401);
        w.db.write(|tx| event(tx, Level::Warning, "identity.lockout", "x", "said")).await.unwrap();
        let events = ask(&w, &admin, "events?kind=identity.&level=warning").await;
        assert_eq!(events["events"][0]["message"], "said");
        for (level, count) in [("info", 1), ("warning", 1), ("error", 0)] {
            let path = format!("events?kind=identity.&level={level}");
            assert_eq!(ask(&w, &admin, &path).await["events"].as_array().unwrap().len(), count, "{level}");
        }
        admin.ask(&w, "GET", "/hanok/v1/events?level=loud", Value::Null).await.of(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_read_what_was_done_in_their_project() {
    for w in worlds().await {
        let (admin, demo) = (w.sign_in("admin", ADMIN).await, w.sign_in("demo", DEMO).await);
        let network = async |who: &Browser, name: &str| {
            let wish = json!({"network": {"name": name}});
            let made = who.ask(&w, "POST", "/network/v2.0/networks", wish).await.of(201);
            made["network"]["id"].as_str().unwrap().to_owned()
        };
        let (kept, gone, foreign) =
            (network(&demo, "kept").await, network(&demo, "gone").await, network(&admin, "foreign").await);
        demo.ask(&w, "DELETE", &format!("/network/v2.0/networks/{gone}"), Value::Null).await.of(204);

        let seen = ask(&w, &demo, "audit?action=network.").await;
        let rows: Vec<_> = seen["audit"].as_array().unwrap().iter().collect();
        let told = |i: usize| (rows[i]["action"].as_str(), rows[i]["target_name"].as_str());
        assert_eq!(told(0), (Some("network.delete"), Some("gone")), "also what is no more has its name");
        assert_eq!(told(1), (Some("network.create"), None));
        assert_eq!(told(2), (Some("network.create"), Some("kept")));
        assert_eq!((rows.len(), &rows[0]["user_name"]), (3, &json!("demo")));
        assert_eq!(actions(&ask(&w, &demo, &format!("audit?target={foreign}")).await).len(), 0);
        let elsewhere = admin.session["project"]["id"].as_str().unwrap();
        assert_eq!(actions(&ask(&w, &demo, &format!("audit?project_id={elsewhere}")).await).len(), 0);
        assert_eq!(actions(&ask(&w, &admin, &format!("audit?target={kept}")).await).len(), 1);

        // What others did for themselves is theirs.
        let (project, user) =
            (demo.session["project"]["id"].as_str().unwrap().to_owned(), &demo.session["user"]["id"]);
        let own = user.as_str().unwrap().to_owned();
        w.db.write(move |tx| {
            for user_id in [own, "another".to_owned()] {
                let who =
                    store::log::Who { request_id: "req-1".into(), user_id, project_id: project.clone() };
                store::log::audit(tx, &who, "keypair.create", "laptop")?;
                store::log::audit(tx, &who, "server.create", "no-such-server")?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let keys = ask(&w, &demo, "audit?action=keypair.").await;
        assert_eq!((actions(&keys).len(), &keys["audit"][0]["target_name"]), (1, &json!("laptop")));
        assert_eq!(actions(&ask(&w, &demo, "audit?action=server.create").await).len(), 2);
        demo.ask(&w, "GET", "/hanok/v1/events", Value::Null).await.of(403);
    }
}
