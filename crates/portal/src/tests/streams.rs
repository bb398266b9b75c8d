//! The stream of changes: who hears what, from where, and until when.

use super::world::{ADMIN, Browser, DEMO, World, worlds};
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::Duration;
use store::change::{self, Change, EVERYBODY, What};

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !is().await {
        assert!(tokio::time::Instant::now() < until, "it did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

/// A stream that is being read.
struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    async fn open(w: &World, b: &Browser, last: Option<&str>) -> Reader {
        let mut request = Request::get("/hanok/v1/events")
            .header("cookie", &b.cookie)
            .header("host", "here:5240")
            .header("accept", "text/event-stream");
        if let Some(id) = last {
            request = request.header("last-event-id", id);
        }
        let response = w.raw(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Reader { body: response.into_body(), text: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let found = block.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
                    found.unwrap_or_default().to_owned()
                };
                if !field("event").is_empty() {
                    let data = serde_json::from_str(&field("data")).unwrap();
                    return Some(Event { name: field("event"), id: field("id"), data });
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("nothing came")?;
            self.text.push_str(std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap());
        }
    }

    /// The events up to the first of a kind of thing.
    async fn to(&mut self, kind: &str) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            all.push(self.next().await.expect("the stream has ended"));
            if all.last().unwrap().data["kind"] == kind {
                return all;
            }
        }
    }
}

async fn network(w: &World, b: &Browser, name: &str) -> String {
    let made = b.ask(w, "POST", "/network/v2.0/networks", json!({"network": {"name": name}})).await.of(201);
    made["network"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_of_ones_own_and_of_nothing_else() {
    for w in worlds().await {
        let (admin, demo) = (w.sign_in("admin", ADMIN).await, w.sign_in("demo", DEMO).await);
        let (mut all, mut own) = (Reader::open(&w, &admin, None).await, Reader::open(&w, &demo, None).await);
        for reader in [&mut all, &mut own] {
            let hello = reader.next().await.unwrap();
            assert_eq!((hello.name.as_str(), &hello.data["region"]), ("hello", &json!("Here")));
        }
        let theirs = network(&w, &admin, "theirs").await;
        let first = all.to("network").await.pop().unwrap();
        assert_eq!((&first.data["id"], &first.data["what"]), (&json!(theirs), &json!("created")));

        let mine = network(&w, &demo, "mine").await;
        let heard = own.to("network").await;
        assert!(heard.iter().all(|e| e.data["id"] != json!(theirs)), "{heard:?}");
        let last = heard.last().unwrap();
        assert_eq!((&last.data["id"], &last.data["what"]), (&json!(mine), &json!("created")));
        assert_eq!(last.data["project_id"], demo.session["project"]["id"]);

        // Somebody else deletes what is mine.
        let gone = admin.ask(&w, "DELETE", &format!("/network/v2.0/networks/{mine}"), Value::Null).await;
        assert_eq!(gone.status, 204);
        let last = own.to("network").await.pop().unwrap();
        assert_eq!((&last.data["id"], &last.data["what"]), (&json!(mine), &json!("deleted")));
        // And of what is shared with everybody, everybody hears.
        let share = json!({"network": {"shared": true}});
        admin.ask(&w, "PUT", &format!("/network/v2.0/networks/{theirs}"), share).await.of(200);
        assert_eq!(own.to("network").await.pop().unwrap().data["id"], json!(theirs));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_was_or_says_what_is_lost() {
    for w in worlds().await {
        let b = w.sign_in("demo", DEMO).await;
        let mut reader = Reader::open(&w, &b, None).await;
        let one = network(&w, &b, "one").await;
        let at = reader.to("network").await.pop().unwrap().id;
        assert!(!at.is_empty());
        drop(reader);
        let two = network(&w, &b, "two").await;
        let mut again = Reader::open(&w, &b, Some(&at)).await;
        let heard = again.to("network").await;
        assert_eq!(heard[0].name, "hello");
        assert!(heard.iter().all(|e| e.name != "lost" && e.data["id"] != json!(one)), "{heard:?}");
        assert_eq!(heard.last().unwrap().data["id"], json!(two));
        for place in ["00000000-1", "nonsense", "ffffffff-99999999999"] {
            let mut lost = Reader::open(&w, &b, Some(place)).await;
            assert_eq!(lost.next().await.unwrap().name, "hello");
            let event = lost.next().await.unwrap();
            assert_eq!(event.name, "lost", "{place}");
            network(&w, &b, place).await;
            assert_ne!(lost.to("network").await.pop().unwrap().id, event.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_session_and_when_it_moves() {
    for w in worlds().await {
        let b = w.sign_in("demo", DEMO).await;
        let mut reader = Reader::open(&w, &b, None).await;
        assert_eq!(reader.next().await.unwrap().name, "hello");
        let project = b.session["project"]["id"].clone();
        b.ask(&w, "PUT", "/hanok/v1/session", json!({"project_id": project})).await.of(200);
        let bye = reader.next().await.unwrap();
        assert_eq!((bye.name.as_str(), &bye.data["reason"]), ("bye", &json!("moved")));
        assert_eq!(reader.next().await, None);
        let mut reader = Reader::open(&w, &b, None).await;
        assert_eq!(reader.next().await.unwrap().name, "hello");
        assert_eq!(b.ask(&w, "DELETE", "/hanok/v1/session", Value::Null).await.status, 204);
        assert_eq!(reader.next().await.unwrap().data["reason"], "over");
        assert_eq!(reader.next().await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_opens_streams_without_end() {
    for w in worlds().await {
        let b = w.sign_in("demo", DEMO).await;
        let mut open = Vec::new();
        for _ in 0..16 {
            open.push(Reader::open(&w, &b, None).await);
        }
        let headers = [("cookie", b.cookie.as_str()), ("accept", "text/event-stream")];
        assert_eq!(w.send("GET", "/hanok/v1/events", &headers, Value::Null).await.status, 503);
        open.pop();
        Reader::open(&w, &b, None).await;
        // As a list it is for overseers, as it was.
        b.ask(&w, "GET", "/hanok/v1/events", Value::Null).await.of(403);
        w.send("GET", "/hanok/v1/events", &[], Value::Null).await.of(401);
        w.sign_in("admin", ADMIN).await.ask(&w, "GET", "/hanok/v1/events", Value::Null).await.of(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_region_changes_is_heard_here() {
    for w in worlds().await {
        let Some(other) = w.other().await else { continue };
        let b = w.sign_in("demo", DEMO).await;
        let mut reader = Reader::open(&w, &b, None).await;
        assert_eq!(reader.next().await.unwrap().name, "hello");
        let there = network(&other, &b, "there").await;
        let heard = reader.to("network").await;
        assert_eq!(heard.last().unwrap().data["id"], json!(there));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_more_is_told_to_those_who_could_see_it() {
    for w in worlds().await {
        let demo = w.sign_in("demo", DEMO).await;
        let mut own = Reader::open(&w, &demo, None).await;
        assert_eq!(own.next().await.unwrap().name, "hello");
        let project = demo.session["project"]["id"].as_str().unwrap().to_owned();
        w.db.write(move |tx| {
            let by = |project: &str| Some(project.to_owned());
            let gone = |kind, id| Change::new(kind, id, What::Deleted);
            change::note(tx, Change { by: by("another"), ..gone("host", "not-1") });
            change::note(tx, Change { by: by(&project), ..gone("host", "not-2") });
            change::owned(tx, "image", "not-3", What::Deleted, "another");
            change::note(tx, Change { by: by("another"), ..gone("flavor", "yes-1") });
            change::owned(tx, "image", "yes-2", What::Deleted, EVERYBODY);
            change::owned(tx, "image", "yes-3", What::Deleted, &project);
            change::note(tx, Change { by: by(&project), ..gone("server_group", "yes-4") });
            Ok(())
        })
        .await
        .unwrap();
        for id in ["yes-1", "yes-2", "yes-3", "yes-4"] {
            assert_eq!(own.next().await.unwrap().data["id"], id);
        }
    }
}
