//! The API of tasks.

use super::{World, worlds};
use base::Micros;
use serde_json::{Value, json};
use store::work::Ran;

fn ask(uri: &str) -> Value {
    json!({"type": "import", "input": {
        "import_from": uri, "import_from_format": "raw", "image_properties": {"name": "t", "visibility": "public"},
    }})
}

async fn make(w: &World) -> Value {
    // Nothing answers at this name (RFC 2606).
    w.call("POST", "/v2/tasks", "admin:x", ask("http://nothing.invalid/")).await.is(201).json()
}

async fn run(w: &World, id: &str) {
    while w.get(&format!("/v2/tasks/{id}"), "admin:x").await.json()["status"] != "failure"
        || w.engine.run_one(id, true).await.unwrap() != Ran::Nothing
    {
        w.engine.run_one(id, true).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_administrators_import_makes_an_image_or_leaves_none() {
    for w in worlds().await {
        let made = make(&w).await;
        let id = made["id"].as_str().unwrap();
        assert_eq!((&made["status"], &made["type"]), (&json!("pending"), &json!("import")));
        assert_eq!(made["self"], format!("/v2/tasks/{id}"));
        assert_eq!(made["result"], Value::Null);
        assert_eq!(w.names("?visibility=public", "admin:x").await, ["t"]);
        run(&w, id).await;
        let ended = w.get(&format!("/v2/tasks/{id}"), "admin:x").await.is(200).json();
        assert!(ended["message"].as_str().unwrap().contains("nothing.invalid"), "{ended}");
        assert!(w.names("", "admin:x").await.is_empty(), "the image was there for the task's sake");
        assert_eq!(w.count("SELECT COALESCE(MAX(used), 0) FROM quota").await, 0);
    }
}

#[tokio::test]
async fn wrong_tasks_and_wrong_callers_are_refused() {
    for w in worlds().await {
        w.call("POST", "/v2/tasks", "member:a", ask("http://x.invalid/")).await.is(403);
        w.get("/v2/tasks", "member:a").await.is(403);
        let post = |body: Value| w.call("POST", "/v2/tasks", "admin:x", body);
        post(ask("http://127.0.0.1/")).await.refused(400, "does not pass filtering");
        post(json!({"type": "export", "input": {}})).await.refused(400, "Invalid task type");
        post(json!({"type": "import"})).await.refused(400, "input");
        post(json!({"type": "import", "input": {"import_from": "http://x.invalid/"}}))
            .await
            .refused(400, "import_from_format");
        w.get("/v2/tasks/none", "admin:x").await.refused(404, "No task found with ID none");
        assert!(w.names("", "admin:x").await.is_empty());
    }
}

#[tokio::test]
async fn tasks_are_listed_in_pages_and_expire() {
    for w in worlds().await {
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(make(&w).await["id"].as_str().unwrap().to_owned());
        }
        let list = async |query: &str| w.get(&format!("/v2/tasks{query}"), "admin:x").await;
        let of = |list: &Value| -> Vec<String> {
            list["tasks"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap().to_owned()).collect()
        };
        let first = list("?limit=2").await.is(200).json();
        assert_eq!(of(&first), [ids[2].clone(), ids[1].clone()]);
        assert_eq!(first["tasks"][0].get("input"), None);
        let next = first["next"].as_str().unwrap().trim_start_matches("/v2/tasks");
        assert_eq!(of(&list(next).await.is(200).json()), [ids[0].clone()]);
        assert_eq!(of(&list("?sort_key=created_at&sort_dir=asc").await.json()), ids);
        run(&w, &ids[1]).await;
        assert_eq!(of(&list("?status=failure").await.json()), [ids[1].clone()]);
        assert_eq!(of(&list("?type=api_image_import").await.json()).len(), 0);
        list("?sort_key=owner").await.refused(400, "Invalid sort key");
        list("?status=gone").await.refused(400, "status");
        list("?marker=none").await.refused(400, "marker");
        // Two days later.
        let id = ids[1].clone();
        w.db.write(move |tx| {
            tx.exec(
                "UPDATE image_task SET expires_at = $2 WHERE id = $1",
                store::params![&id, Micros::now()],
            )?;
            store::work::wake(tx, &id)
        })
        .await
        .unwrap();
        while w.engine.run_one(&ids[1], true).await.unwrap() != Ran::Nothing {}
        w.get(&format!("/v2/tasks/{}", ids[1]), "admin:x").await.is(404);
    }
}
