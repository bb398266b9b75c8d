//! The facade on both databases. PostgreSQL runs when `HANOK_TEST_POSTGRES` holds a URL.

use crate::change::{self, Change, What};
use crate::{Db, Sql, Topic, Tx, params, quota};
use base::{HostId, Kind, Micros, ProjectId};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::broadcast;

/// How long something that comes soon may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn fresh_postgres(url: &str) -> Db {
    Db::postgres(&fresh_url(url).await).await.unwrap()
}

/// The address of a schema of its own, in which nothing is yet.
pub async fn fresh_url(url: &str) -> String {
    url_of_schema(url, format!("t{}", uuid::Uuid::new_v4().simple())).await
}

/// The same of a schema with this name.
pub async fn url_of_schema(url: &str, schema: String) -> String {
    let (server, name) = (url.to_owned(), schema.clone());
    tokio::task::spawn_blocking(move || {
        let mut c = postgres::Client::connect(&server, postgres::NoTls).unwrap();
        c.batch_execute(&format!("CREATE SCHEMA {name}")).unwrap();
    })
    .await
    .unwrap();
    let sep = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sep}options=-c%20search_path%3D{schema}")
}

/// One empty database of each kind.
pub async fn databases() -> Vec<(Db, tempfile::TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    let mut all = vec![(Db::sqlite(&dir.path().join("db")).await.unwrap(), dir)];
    if let Ok(url) = std::env::var("HANOK_TEST_POSTGRES") {
        all.push((fresh_postgres(&url).await, tempfile::tempdir().unwrap()));
    }
    all
}

#[tokio::test]
async fn a_failed_transaction_leaves_nothing_and_takes_nobody_with_it() {
    for (db, _dir) in databases().await {
        let set = |name: &'static str, fail: bool| {
            db.write(move |tx| {
                tx.exec("INSERT INTO setting (name, value) VALUES ($1, 'x')", params![name])?;
                if fail { Err(base::Fault::bad_request("no")) } else { Ok(()) }
            })
        };
        let (a, b, c) = tokio::join!(set("a", false), set("b", true), set("c", false));
        assert!(a.is_ok() && b.is_err() && c.is_ok());
        let names = db
            .read(|tx| tx.rows("SELECT name FROM setting ORDER BY name", &[], |r| r.get::<String>(0)))
            .await
            .unwrap();
        assert_eq!(names, ["a", "c"]);
    }
}

#[tokio::test]
async fn refusals_of_the_database_become_faults() {
    for (db, _dir) in databases().await {
        let twice = db.write(|tx| {
            tx.exec("INSERT INTO setting (name, value) VALUES ('n', 'x')", &[])?;
            tx.exec("INSERT INTO setting (name, value) VALUES ('n', 'x')", &[])
        });
        assert_eq!(twice.await.unwrap_err().kind, Kind::Conflict);
        let orphan =
            db.write(|tx| tx.exec("INSERT INTO project_tag (project_id, tag) VALUES ('nobody', 't')", &[]));
        assert_eq!(orphan.await.unwrap_err().kind, Kind::BadReference);
    }
}

#[tokio::test]
async fn a_quota_is_not_given_twice() {
    for (db, _dir) in databases().await {
        let mut tasks = Vec::new();
        for _ in 0..50 {
            let db = db.clone();
            tasks.push(tokio::spawn(async move {
                db.write(|tx| Ok(quota::take(tx, &ProjectId::from("p"), "cores", 3, 100)?.is_ok()))
                    .await
                    .unwrap()
            }));
        }
        let mut given = 0;
        for t in tasks {
            given += i64::from(t.await.unwrap());
        }
        assert_eq!(given, 33, "33 times 3 fit into 100");
        let p = ProjectId::from("p");
        let used = db.write(move |tx| {
            quota::give(tx, &p, "cores", 99)?;
            quota::usage(tx, &p, "cores", 100)
        });
        assert_eq!(used.await.unwrap().used, 0);
    }
}

#[tokio::test]
async fn what_is_counted_alone_stays_so() {
    const MOST: i64 = 5;
    for (db, _dir) in databases().await {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..50 {
            let db = db.clone();
            let add = move |tx: &Tx<'_>| {
                tx.alone("settings")?;
                let count: i64 = tx.one("SELECT COUNT(*) FROM setting", &[], |r| r.get(0))?;
                if count < MOST {
                    let sql = "INSERT INTO setting (name, value) VALUES ($1, 'x')";
                    tx.exec(sql, params![n.to_string()])?;
                }
                Ok(i64::from(count < MOST))
            };
            tasks.spawn(async move { db.write(add).await.unwrap() });
        }
        assert_eq!(tasks.join_all().await.into_iter().sum::<i64>(), MOST);
    }
}

#[tokio::test]
async fn keyset_pages_and_hints() {
    for (db, _dir) in databases().await {
        let mut topics = db.topics();
        db.write(|tx| {
            for i in 0..5_i64 {
                tx.exec(
                    "INSERT INTO domain (id, name, created_at) VALUES ($1, $1, $2)",
                    params![format!("d{i}"), Micros(i / 2)],
                )?;
            }
            tx.hint(Topic::Identity);
            Ok(())
        })
        .await
        .unwrap();
        // Whoever begins to listen says that it missed what was before, and may say so late.
        while topics.recv().await.unwrap() != Topic::Identity {}
        let page = db.read(|tx| {
            let mut q = Sql::new("SELECT id FROM domain WHERE enabled = 1");
            q.after(Micros(0), "d1", false).push(" ORDER BY created_at, id").limit(2);
            q.rows(tx, |r| r.get::<String>(0))
        });
        assert_eq!(page.await.unwrap(), ["d2", "d3"]);
    }
}

async fn heard(from: &mut broadcast::Receiver<Topic>, what: &Topic) {
    let wait = async { while from.recv().await.unwrap() != *what {} };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("nobody was told {what:?}"));
}

/// A caller that goes away, as one does whose client hangs up, changes nothing about what was kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_caller_went_away_is_told_all_the_same() {
    for (db, _dir) in databases().await {
        let (mut topics, mut changes) = (db.topics(), db.changes());
        let (go, wait) = mpsc::channel();
        // Whoever else uses this PostgreSQL is heard too, so it has to be something of our own.
        let host = HostId::new();
        let changed = Change::new("host", &host.to_string(), What::Deleted);
        let noted = changed.clone();
        let mut write = Box::pin(db.write(move |tx| {
            wait.recv().map_err(base::Fault::internal)?;
            tx.exec("INSERT INTO setting (name, value) VALUES ('n', 'x')", &[])?;
            tx.hint(Topic::Host(host));
            change::note(tx, noted);
            Ok(())
        }));
        tokio::select! {
            biased;
            _ = &mut write => panic!("it did not wait"),
            () = std::future::ready(()) => {}
        }
        drop(write);
        go.send(()).unwrap();
        heard(&mut topics, &Topic::Host(host)).await;
        heard(&mut changes, &Topic::Change(Arc::new(changed))).await;
        // It was told after the commit, not before.
        let kept = db.read(|tx| tx.rows("SELECT name FROM setting", &[], |r| r.get::<String>(0)));
        assert_eq!(kept.await.unwrap(), ["n"]);
    }
}

/// SQLite gives a whole transaction up when the disk is full, for example: whoever shared it with others is told so,
/// and what comes after it begins another.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_given_up_keeps_nothing_and_whoever_waits_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::sqlite(&dir.path().join("db")).await.unwrap();
    let put = |tx: &Tx<'_>, name: &str| {
        tx.exec("INSERT INTO setting (name, value) VALUES ($1, 'x')", params![name]).map(drop)
    };
    let (go, wait) = mpsc::channel();
    let first = db.write(move |tx| {
        put(tx, "first")?;
        // By then the others wait, so that they come into the same group.
        wait.recv().map_err(base::Fault::internal)
    });
    let second = db.write(move |tx| {
        put(tx, "second")?;
        tx.batch("ROLLBACK")?;
        let _ = put(tx, "second, later");
        let _ =
            tx.one("INSERT INTO setting (name, value) VALUES ('returned', 'x') RETURNING name", &[], |r| {
                r.get::<String>(0)
            });
        tx.hint(Topic::Identity);
        Ok(())
    });
    let third = db.write(move |tx| put(tx, "third"));
    let mut topics = db.topics();
    let (first, second, third, _) = tokio::join!(first, second, third, async { go.send(()).unwrap() });
    third.expect("it came after the others");
    assert!(topics.try_recv().is_err(), "what was undone was told");
    db.write(move |tx| put(tx, "after")).await.unwrap();
    let names = db.read(|tx| tx.rows("SELECT name FROM setting ORDER BY name", &[], |r| r.get::<String>(0)));
    assert_eq!(names.await.unwrap(), ["after", "third"]);
    for undone in [first, second] {
        let fault = undone.unwrap_err();
        assert_eq!(fault.kind, Kind::Unavailable, "{fault}");
        assert!(fault.message.contains("Nothing was changed"), "{fault}");
    }
}
