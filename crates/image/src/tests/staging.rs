//! Staged content, imported with `glance-direct`.

use super::snapshots::qcow2;
use super::{World, worlds, worlds_importing, worlds_with};
use crate::{Imports, Limits};
use axum::body::Body;
use serde_json::{Value, json};
use store::quota;
use store::work::Ran;

pub async fn stage(w: &World, id: &str, content: impl Into<Body>) -> super::Answer {
    let request = w.request("PUT", &format!("/v2/images/{id}/stage"), "member:a");
    w.send(request.header("content-type", "application/octet-stream").body(content.into()).unwrap()).await
}

pub async fn import(w: &World, id: &str, method: Value) -> super::Answer {
    w.call("POST", &format!("/v2/images/{id}/import"), "member:a", json!({ "method": method })).await
}

/// The image's latest task.
pub async fn task(w: &World, id: &str) -> Value {
    let tasks = w.get(&format!("/v2/images/{id}/tasks"), "member:a").await.is(200).json();
    tasks["tasks"][0].clone()
}

/// Runs steps until the task has ended; answers it.
pub async fn done(w: &World, id: &str) -> Value {
    loop {
        let task = task(w, id).await;
        let ran = w.engine.run_one(task["id"].as_str().unwrap(), true).await.unwrap();
        if ran == Ran::Nothing && (task["status"] == "success" || task["status"] == "failure") {
            return task;
        }
        tokio::task::yield_now().await;
    }
}

pub fn staged(w: &World) -> usize {
    std::fs::read_dir(w.dir.path().join("images/staged")).unwrap().count()
}

#[tokio::test]
async fn staged_content_is_imported() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        let direct = json!({"name": "glance-direct"});
        import(&w, &id, direct.clone()).await.refused(409, "needs to be staged");
        stage(&w, &id, "content").await.is(204);
        assert_eq!(w.show(&id, "member:a").await["status"], "uploading");
        stage(&w, &id, "other").await.refused(409, "it is uploading");
        w.put(&id, "member:a", "other").await.refused(409, "it is uploading");
        w.call("POST", &format!("/v2/images/{id}/import"), "member:b", json!({"method": direct}))
            .await
            .is(404);
        let begun = import(&w, &id, direct.clone()).await.is(202);
        assert!(begun.body.is_empty());
        assert_eq!(w.show(&id, "member:a").await["status"], "importing");
        import(&w, &id, direct).await.refused(409, "needs to be staged");
        let first = task(&w, &id).await;
        assert_eq!(first["status"], "pending");
        let ended = done(&w, &id).await;
        assert_eq!(ended["status"], "success");
        assert_eq!(ended["type"], "api_image_import");
        assert_eq!(ended["request_id"], begun.header("x-openstack-request-id"));
        assert_eq!(ended["input"]["import_req"]["method"]["name"], "glance-direct");
        assert!(ended["expires_at"].is_string());
        let shown = w.show(&id, "member:a").await;
        assert_eq!((&shown["status"], &shown["size"]), (&json!("active"), &json!(7)));
        assert_eq!(w.get(&format!("/v2/images/{id}/file"), "member:a").await.body, "content");
        assert_eq!((staged(&w), w.incoming()), (0, 0));
    }
}

#[tokio::test]
async fn what_is_no_such_disk_goes_back_to_queued() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        stage(&w, &id, qcow2()).await.is(204);
        import(&w, &id, json!({"name": "glance-direct"})).await.is(202);
        let ended = done(&w, &id).await;
        assert_eq!(ended["status"], "failure");
        assert!(ended["message"].as_str().unwrap().contains("looks like qcow2"), "{ended}");
        assert_eq!(w.show(&id, "member:a").await["status"], "queued");
        assert_eq!((staged(&w), w.files().len()), (0, 0));
        // And it can be tried again.
        stage(&w, &id, "raw").await.is(204);
        import(&w, &id, json!({"name": "glance-direct"})).await.is(202);
        assert_eq!(done(&w, &id).await["status"], "success");
    }
}

#[tokio::test]
async fn disks_are_converted_where_the_installation_asks_for_it() {
    let imports = Imports { convert_to: "raw".into(), ..Imports::default() };
    for w in worlds_importing(Limits::default(), imports).await {
        let body = json!({"disk_format": "qcow2", "container_format": "bare"});
        let id = w.make("member:a", body.clone()).await;
        stage(&w, &id, qcow2()).await.is(204);
        import(&w, &id, json!({"name": "glance-direct"})).await.is(202);
        let ended = done(&w, &id).await;
        assert_eq!(ended["status"], "success", "{ended}");
        let shown = w.show(&id, "member:a").await;
        assert_eq!((&shown["disk_format"], &shown["size"]), (&json!("raw"), &json!(1 << 20)));
        assert_eq!(shown["virtual_size"], 1 << 20);
        assert_eq!(w.get(&format!("/v2/images/{id}/file"), "member:a").await.body, vec![0; 1 << 20]);
        assert_eq!((staged(&w), w.incoming()), (0, 0));
        // Content that is uploaded stays as it is.
        let id = w.make("member:a", body).await;
        w.put(&id, "member:a", qcow2()).await.is(204);
        assert_eq!(w.show(&id, "member:a").await["disk_format"], "qcow2");
    }
}

#[tokio::test]
async fn every_step_of_an_import_may_die_before_its_commit() {
    let imports = Imports { convert_to: "raw".into(), ..Imports::default() };
    for mut w in worlds_importing(Limits::default(), imports).await {
        let id = w.make("member:a", json!({"disk_format": "qcow2", "container_format": "bare"})).await;
        stage(&w, &id, qcow2()).await.is(204);
        w.restart().await;
        import(&w, &id, json!({"name": "glance-direct"})).await.is(202);
        crashing(&mut w, &id).await;
        let ended = task(&w, &id).await;
        assert_eq!(ended["status"], "success", "{ended}");
        assert_eq!(w.show(&id, "member:a").await["status"], "active");
        assert_eq!((staged(&w), w.incoming(), w.files().len()), (0, 0, 1));
    }
}

/// Each step runs once without its commit and the process dies; then it runs again with it.
pub async fn crashing(w: &mut World, id: &str) {
    let of = task(w, id).await["id"].as_str().unwrap().to_owned();
    while w.engine.run_one(&of, false).await.unwrap() == Ran::Dropped {
        w.restart().await;
        // A job that has just begun is waited for by the step, as often as it takes.
        let before = state(w, &of).await;
        while state(w, &of).await == before && w.engine.run_one(&of, true).await.unwrap() != Ran::Nothing {
            wake(w, &of, &before).await;
        }
    }
}

async fn state(w: &World, task: &str) -> String {
    let task = task.to_owned();
    let row = w
        .db
        .read(move |tx| tx.opt("SELECT state FROM work WHERE id = $1", store::params![&task], |r| r.get(0)));
    row.await.unwrap().unwrap_or_default()
}

/// What waits for a job looks again.
async fn wake(w: &World, task: &str, before: &str) {
    if !before.contains("Ended") {
        let task = task.to_owned();
        w.db.write(move |tx| store::work::wake(tx, &task)).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn deleting_wins_at_every_step() {
    let imports = Imports { convert_to: "raw".into(), ..Imports::default() };
    for mut w in worlds_importing(Limits::default(), imports).await {
        for steps in 0..5 {
            let id = w.make("member:a", json!({"disk_format": "qcow2", "container_format": "bare"})).await;
            stage(&w, &id, qcow2()).await.is(204);
            import(&w, &id, json!({"name": "glance-direct"})).await.is(202);
            let of = task(&w, &id).await["id"].as_str().unwrap().to_owned();
            for _ in 0..steps {
                w.engine.run_one(&of, true).await.unwrap();
            }
            w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
            loop {
                let ran = w.engine.run_one(&of, true).await.unwrap();
                let task = w.get(&format!("/v2/tasks/{of}"), "admin:x").await.is(200).json();
                if ran == Ran::Nothing && (task["status"] == "success" || task["status"] == "failure") {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        w.restart().await;
        for file in w.files() {
            while w.engine.run_one(&file, true).await.unwrap() != Ran::Nothing {}
        }
        assert_eq!((staged(&w), w.incoming(), w.files().len()), (0, 0, 0));
        assert_eq!(w.count("SELECT COALESCE(MAX(used), 0) FROM quota WHERE resource LIKE 'image%'").await, 0);
    }
}

#[tokio::test]
async fn an_image_deleted_while_it_is_staged_leaves_nothing_behind() {
    for w in worlds().await {
        for importing in [false, true] {
            let id = w.raw("member:a").await;
            stage(&w, &id, "content").await.is(204);
            if importing {
                import(&w, &id, json!({"name": "glance-direct"})).await.is(202);
            }
            w.delete(&format!("/v2/images/{id}"), "member:a").await.is(204);
            let works = w.db.read(|tx| tx.rows("SELECT id FROM work", &[], |r| r.get::<String>(0)));
            for work in works.await.unwrap() {
                while w.engine.run_one(&work, true).await.unwrap() != Ran::Nothing {}
            }
            assert_eq!((staged(&w), w.incoming(), w.files().len()), (0, 0, 0));
            assert_eq!(w.count("SELECT COUNT(*) FROM work WHERE kind = 'image_check'").await, 0);
        }
    }
}

#[tokio::test]
async fn quotas_on_what_arrives_hold() {
    for w in worlds_with(Limits::default()).await {
        let set =
            |name: &'static str, max| w.db.write(move |tx| quota::set(tx, &"a".into(), name, Some(max)));
        let (one, two) = (w.raw("member:a").await, w.raw("member:a").await);
        set("image_count_uploading", 1).await.unwrap();
        stage(&w, &one, "content").await.is(204);
        stage(&w, &two, "content").await.refused(413, "image_count_uploading");
        w.put(&two, "member:a", "content").await.refused(413, "image_count_uploading");
        set("image_count_uploading", -1).await.unwrap();
        set("image_stage_total", 1).await.unwrap();
        stage(&w, &two, "content").await.refused(413, "image_stage_total");
        let usage = w.get("/v2/info/usage", "member:a").await.is(200).json();
        assert_eq!(usage["usage"]["image_stage_total"], json!({"usage": 1, "limit": 1}));
        assert_eq!(usage["usage"]["image_count_uploading"], json!({"usage": 1, "limit": -1}));
        // What the quota of bytes does not allow is not kept, and the image is queued again.
        set("image_size_total", 0).await.unwrap();
        import(&w, &one, json!({"name": "glance-direct"})).await.is(202);
        let ended = done(&w, &one).await;
        assert!(ended["message"].as_str().unwrap().contains("image_size_total"), "{ended}");
        assert_eq!(w.show(&one, "member:a").await["status"], "queued");
    }
}

#[tokio::test]
async fn staged_files_that_no_row_stands_for_go_without_a_restart() {
    for w in worlds().await {
        let id = w.raw("member:a").await;
        stage(&w, &id, "content").await.is(204);
        let dir = w.dir.path().join("images/staged");
        std::fs::write(dir.join("left"), "left").unwrap();
        for entry in std::fs::read_dir(&dir).unwrap() {
            let file = std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
        std::fs::write(dir.join("just staged"), "it has no row yet").unwrap();
        assert_eq!(crate::stage::sweep(&w.image).await.unwrap(), 1);
        assert_eq!((staged(&w), dir.join("left").exists()), (2, false));
        import(&w, &id, json!({"name": "glance-direct"})).await.is(202);
        assert_eq!(done(&w, &id).await["status"], "success");
    }
}
