use super::*;
use crate::Db;
use crate::db_tests::databases;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Door {
    Opening,
    Open,
}

struct DoorLife(Arc<AtomicU32>);

impl Life for DoorLife {
    const KIND: &'static str = "door";
    type State = Door;
    async fn step(&self, _id: &str, state: &Door) -> Result<Step<Door>> {
        Ok(match state {
            Door::Opening => {
                self.0.fetch_add(1, Ordering::SeqCst);
                Step::go(Door::Open).also(|tx| {
                    tx.exec("INSERT INTO setting (name, value) VALUES ('door', 'open')", &[])?;
                    Ok(())
                })
            }
            Door::Open => Step::rest(Door::Open),
        })
    }
    fn budget(_: &Door) -> Option<Duration> {
        Some(Duration::from_secs(5))
    }
}

#[tokio::test]
async fn a_step_that_dies_before_its_commit_runs_again() {
    for (db, _dir) in databases().await {
        let runs = Arc::new(AtomicU32::new(0));
        let engine = Engine::builder(db.clone()).with(DoorLife(runs.clone())).build();
        db.write(|tx| start::<DoorLife>(tx, "d1", &Door::Opening)).await.unwrap();
        assert_eq!(engine.run_one("d1", false).await.unwrap(), Ran::Dropped);
        assert_eq!(engine.run_one("d1", true).await.unwrap(), Ran::Committed);
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert_eq!(engine.run_one("d1", true).await.unwrap(), Ran::Committed);
        assert_eq!(engine.run_one("d1", true).await.unwrap(), Ran::Nothing, "at rest");
        let door =
            db.read(|tx| tx.one("SELECT value FROM setting WHERE name='door'", &[], |r| r.get::<String>(0)));
        assert_eq!(door.await.unwrap(), "open");
    }
}

#[tokio::test]
async fn a_wake_during_a_step_makes_it_run_again() {
    for (db, _dir) in databases().await {
        let engine = Engine::builder(db.clone()).with(DoorLife(Arc::default())).build();
        db.write(|tx| start::<DoorLife>(tx, "d1", &Door::Open)).await.unwrap();
        // Claim by hand, wake, then try to commit what the claim knew.
        let other = Engine::builder(db.clone()).with(DoorLife(Arc::default())).build();
        let run = engine.run_one("d1", true);
        db.write(|tx| wake(tx, "d1")).await.unwrap();
        assert_eq!(run.await.unwrap(), Ran::Committed);
        assert_eq!(other.run_one("d1", true).await.unwrap(), Ran::Nothing);
    }
}

#[tokio::test]
async fn many_workers_run_each_row_once() {
    for (db, _dir) in databases().await {
        let runs = Arc::new(AtomicU32::new(0));
        db.write(|tx| {
            tx.exec("DELETE FROM setting", &[])?;
            (0..200).try_for_each(|i| start::<Count>(tx, &format!("c{i}"), &()))
        })
        .await
        .unwrap();
        let mut workers = Vec::new();
        for _ in 0..4 {
            let engine = Engine::builder(db.clone()).with(Count(runs.clone())).build();
            workers.push(tokio::spawn(engine.run()));
        }
        while left(&db).await > 0 {
            tokio::task::yield_now().await;
        }
        workers.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(runs.load(Ordering::SeqCst), 200);
    }
}

async fn left(db: &Db) -> i64 {
    db.read(|tx| tx.one("SELECT COUNT(*) FROM work", &[], |r| r.get(0))).await.unwrap()
}

/// The same life in a process that dies in the middle of its step.
struct Dying;

impl Life for Dying {
    const KIND: &'static str = "door";
    type State = Door;
    async fn step(&self, _id: &str, _: &Door) -> Result<Step<Door>> {
        std::future::pending().await
    }
    fn budget(_: &Door) -> Option<Duration> {
        None
    }
}

#[tokio::test]
async fn the_next_process_of_the_same_owner_takes_up_at_once_what_was_under_way() {
    for (db, _dir) in databases().await {
        db.write(|tx| start::<DoorLife>(tx, "d1", &Door::Opening)).await.unwrap();
        let dying = Engine::builder(db.clone()).with(Dying).process("a/1").build();
        let dying = tokio::spawn(dying.run());
        let sql = "SELECT COUNT(*) FROM work WHERE lease_until > 0";
        while db.read(move |tx| tx.one(sql, &[], |r| r.get::<i64>(0))).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        dying.abort();
        let _ = dying.await;
        for (owner, ran) in [("b", Ran::Nothing), ("", Ran::Nothing), ("a", Ran::Committed)] {
            let next = Engine::builder(db.clone())
                .with(DoorLife(Arc::default()))
                .process(&crate::process::new_id(owner))
                .build();
            next.reclaim().await.unwrap();
            assert_eq!(next.run_one("d1", true).await.unwrap(), ran, "owner {owner:?}");
        }
    }
}

/// Fails, and is woken while it does.
struct Failing(Db);

impl Life for Failing {
    const KIND: &'static str = "door";
    type State = Door;
    async fn step(&self, id: &str, _: &Door) -> Result<Step<Door>> {
        let id = id.to_owned();
        self.0.write(move |tx| wake(tx, &id)).await?;
        Err(base::Fault::unavailable("not now"))
    }
    fn budget(_: &Door) -> Option<Duration> {
        None
    }
}

#[tokio::test]
async fn a_wake_during_a_step_that_fails_is_not_put_off() {
    for (db, _dir) in databases().await {
        let engine = Engine::builder(db.clone()).with(Failing(db.clone())).build();
        db.write(|tx| {
            start::<DoorLife>(tx, "d1", &Door::Opening)?;
            tx.exec("UPDATE work SET attempt = 8 WHERE id = 'd1'", &[])
        })
        .await
        .unwrap();
        for _ in 0..2 {
            assert_eq!(engine.run_one("d1", true).await.unwrap(), Ran::Committed);
            let row = "SELECT wake_at, attempt, lease_until FROM work WHERE id = 'd1'";
            let row = db.read(|tx| tx.one(row, &[], |r| Ok((r.get::<Micros>(0)?, r.get(1)?, r.get(2)?))));
            let (due, attempt, lease): (_, i64, i64) = row.await.unwrap();
            assert!(due <= Micros::now());
            assert_eq!((attempt, lease), (0, 0));
        }
    }
}

struct Count(Arc<AtomicU32>);

impl Life for Count {
    const KIND: &'static str = "count";
    type State = ();
    async fn step(&self, _: &str, (): &()) -> Result<Step<()>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Step::gone())
    }
    fn budget((): &()) -> Option<Duration> {
        None
    }
}

#[tokio::test]
async fn an_overrun_and_an_unreadable_state_are_told_once() {
    for (db, _dir) in databases().await {
        let engine = Engine::builder(db.clone()).with(DoorLife(Arc::default())).build();
        db.write(|tx| {
            start::<DoorLife>(tx, "late", &Door::Opening)?;
            tx.exec("UPDATE work SET since = 0, wake_at = NULL WHERE id = 'late'", &[])?;
            start::<DoorLife>(tx, "strange", &Door::Opening)?;
            tx.exec("UPDATE work SET state = '\"Ajar\"' WHERE id = 'strange'", &[])
        })
        .await
        .unwrap();
        for _ in 0..3 {
            assert_eq!(engine.run_one("strange", true).await.unwrap(), Ran::Committed);
            // Soon it is another's turn, who may be of the release that wrote it.
            let due = "SELECT wake_at FROM work WHERE id = 'strange'";
            let due = db.read(|tx| tx.one(due, &[], |r| r.get::<Micros>(0))).await.unwrap();
            assert!(due < Micros::now().plus(Duration::from_secs(30)));
            db.write(|tx| tx.exec("UPDATE work SET wake_at = 0 WHERE id = 'strange'", &[])).await.unwrap();
        }
        let worker = tokio::spawn(engine.run());
        let events =
            || db.read(|tx| tx.rows("SELECT kind FROM event ORDER BY kind", &[], |r| r.get::<String>(0)));
        while events().await.unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        worker.abort();
        assert_eq!(events().await.unwrap(), ["work.overrun", "work.unreadable"]);
        let kept = db.read(|tx| why(tx, "strange")).await.unwrap().unwrap();
        assert_eq!(kept.state, serde_json::json!("Ajar"));
    }
}

/// Another kind.
struct WindowLife;

impl Life for WindowLife {
    const KIND: &'static str = "window";
    type State = Door;
    async fn step(&self, _id: &str, _state: &Door) -> Result<Step<Door>> {
        Ok(Step::gone())
    }
    fn budget(_: &Door) -> Option<Duration> {
        None
    }
}

#[tokio::test]
async fn what_another_kind_has_is_neither_started_nor_woken() {
    for (db, _dir) in databases().await {
        db.write(|tx| start::<DoorLife>(tx, "d1", &Door::Open)).await.unwrap();
        let revision =
            || db.read(|tx| tx.one("SELECT revision FROM work WHERE id = 'd1'", &[], |r| r.get::<i64>(0)));
        let before = revision().await.unwrap();
        let taken = db.write(|tx| start_or_wake::<WindowLife>(tx, "d1", &Door::Open)).await.unwrap_err();
        assert_eq!(taken.kind, base::Kind::Conflict);
        db.write(|tx| wake_of::<WindowLife>(tx, "d1")).await.unwrap();
        assert_eq!(revision().await.unwrap(), before);
        db.write(|tx| start_or_wake::<DoorLife>(tx, "d1", &Door::Open)).await.unwrap();
        db.write(|tx| wake_of::<DoorLife>(tx, "d1")).await.unwrap();
        assert_eq!(revision().await.unwrap(), before + 2);
    }
}
