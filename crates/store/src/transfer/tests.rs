//! There and back. Needs a PostgreSQL in `HANOK_TEST_POSTGRES`.

use super::*;
use crate::db_tests::fresh_url;
use base::Kind;

async fn filled(file: &Path) -> Db {
    let db = Db::sqlite(file).await.unwrap();
    db.write(|tx| {
        tx.exec("INSERT INTO domain (id, name, created_at) VALUES ('d', 'tab\there\\ 한옥', 7)", &[])?;
        // A child whose table comes before its parent's by name, and NULLs, empty texts, big numbers.
        tx.exec(
            "INSERT INTO account (id, domain_id, name, created_at) VALUES ('u', 'd', 'line\nbreak\\N', $1)",
            params![i64::MAX],
        )?;
        tx.exec("INSERT INTO quota (project_id, resource, used) VALUES ('', 'cores', 3)", &[])?;
        for i in 0..1000_i64 {
            tx.exec(
                "INSERT INTO setting (name, value) VALUES ($1, $2)",
                params![format!("s{i}"), "v".repeat(i as usize)],
            )?;
        }
        Ok(())
    })
    .await
    .unwrap();
    db
}

#[tokio::test]
async fn there_and_back() {
    let Ok(server) = std::env::var("HANOK_TEST_POSTGRES") else { return };
    let (dir, url) = (tempfile::tempdir().unwrap(), fresh_url(&server).await);
    let file = dir.path().join("hanok.db");
    let source = filled(&file).await;
    let there = to_postgres(&file, &url, "there", |_| {}).await.unwrap();
    assert!(!there.already);
    let rows = |name: &str| there.tables.iter().find(|t| t.table == name).unwrap().rows;
    assert_eq!((rows("setting"), rows("domain"), rows("account"), rows("quota")), (1000, 1, 1, 1));
    assert_eq!(source.read(left_for).await.unwrap().as_deref(), Some("there"), "nobody goes on with it");
    assert_eq!(to_postgres(&file, &url, "there", |_| {}).await.unwrap_err().kind, Kind::Conflict);
    let db = Db::postgres(&url).await.unwrap();
    let name = db.read(|tx| tx.one("SELECT name FROM account", &[], |r| r.get::<String>(0))).await.unwrap();
    assert_eq!(name, "line\nbreak\\N");

    let home = dir.path().join("back.db");
    let back = to_sqlite(&url, &home, |_| {}).await.unwrap();
    let key = |r: &Report| {
        let mut all: Vec<_> = r.tables.iter().map(|t| (t.table.clone(), t.rows, t.digest.clone())).collect();
        all.sort();
        all
    };
    assert_eq!(key(&back), key(&there), "the same rows, both ways");
    let again = Db::sqlite(&home).await.unwrap();
    let used = again.read(|tx| tx.one("SELECT used FROM quota", &[], |r| r.get::<i64>(0))).await.unwrap();
    assert_eq!(used, 3, "a number is a number again");
}

#[tokio::test]
async fn what_is_not_empty_or_in_use_is_left_alone() {
    let Ok(server) = std::env::var("HANOK_TEST_POSTGRES") else { return };
    let (dir, url) = (tempfile::tempdir().unwrap(), fresh_url(&server).await);
    let file = dir.path().join("hanok.db");
    let source = filled(&file).await;
    let target = Db::postgres(&url).await.unwrap();
    let put = |sql: &'static str| target.write(move |tx| tx.exec(sql, params![]));
    put("INSERT INTO setting (name, value) VALUES ('own', '')").await.unwrap();
    let fault = to_postgres(&file, &url, "there", |_| {}).await.unwrap_err();
    assert!(fault.kind == Kind::Conflict && fault.message.contains("not empty"), "{fault}");
    assert_eq!(source.read(left_for).await.unwrap(), None);
    put("DELETE FROM setting").await.unwrap();
    let mut pulse = process::Pulse::new(target.clone(), "a/1", "0");
    pulse.beat().await.unwrap();
    let fault = to_postgres(&file, &url, "there", |_| {}).await.unwrap_err();
    assert!(fault.message.contains("1 region process"), "{fault}");
    pulse.stop().await.unwrap();
    to_postgres(&file, &url, "there", |_| {}).await.unwrap();
    // The last step of all was missed: doing it again finds everything there.
    source.write(|tx| tx.exec("DELETE FROM setting WHERE name = $1", params![LEFT])).await.unwrap();
    assert!(to_postgres(&file, &url, "there", |_| {}).await.unwrap().already);
}
