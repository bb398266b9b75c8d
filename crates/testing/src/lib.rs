//! What the tests of several crates share: databases of their own, and people to be.
//!
//! Each test gets an empty database: SQLite in a directory of its own always, and one of its own on the
//! PostgreSQL that `HANOK_TEST_POSTGRES` names. Whatever is wrong here ends the test.
#![expect(clippy::unwrap_used, reason = "a test that cannot get its database has failed")]

mod spoiled;

pub use spoiled::{Ask, few, spoiled};

use api::{Auth, Authority, Level, Named, Scope};
use base::{DomainId, Fault, ProjectId, Result, UserId};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use store::Db;
use tempfile::TempDir;

/// The URL of the tests' PostgreSQL, where there is one.
pub fn postgres() -> Option<String> {
    std::env::var("HANOK_TEST_POSTGRES").ok()
}

/// The URL of an empty database of its own on that server. It goes when a test begins after this one has ended.
///
/// It is a copy: bringing one up to date takes a second and more of the server's time.
pub async fn fresh_url(server: &str) -> String {
    let template = format!("hanok_{:016x}", store::schema());
    let (url, name) = (server.to_owned(), template.clone());
    let (mut c, known) = blocking(move || {
        let mut c = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        // One of all processes makes it; the lock goes with the connection.
        c.batch_execute("SELECT pg_advisory_lock(5240002)").unwrap();
        let known = c.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).unwrap();
        (c, known.is_some())
    })
    .await;
    if !known {
        let making = format!("{template}_making");
        let new = format!("DROP DATABASE IF EXISTS {making} WITH (FORCE); CREATE DATABASE {making}");
        c = blocking(move || {
            new.split(';').for_each(|sql| c.batch_execute(sql).unwrap());
            c
        })
        .await;
        drop(Db::postgres(&database_of(server, &making)).await.unwrap());
        let (gone, name) = (making.clone(), template.clone());
        c = blocking(move || {
            // Its connections end a moment after it.
            let over = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = $1";
            c.query(over, &[&gone]).unwrap();
            c.batch_execute(&format!("ALTER DATABASE {gone} RENAME TO {name}")).unwrap();
            c
        })
        .await;
    }
    let own = format!("t{}_{}", std::process::id(), uuid::Uuid::new_v4().simple());
    let name = own.clone();
    blocking(move || {
        sweep(&mut c);
        c.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")).unwrap();
    })
    .await;
    database_of(server, &own)
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(f).await.unwrap()
}

/// Drops the databases of tests that have ended.
fn sweep(c: &mut postgres::Client) {
    for row in c.query("SELECT datname FROM pg_database", &[]).unwrap() {
        let name: String = row.get(0);
        let process = name.strip_prefix('t').and_then(|n| n.split_once('_')).map(|(process, _)| process);
        let over = |p: &str| p.parse::<u32>().is_ok() && !Path::new("/proc").join(p).exists();
        if process.is_some_and(over) {
            // Another may have done it.
            let _ = c.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

/// The URL of another database on the same server.
fn database_of(server: &str, name: &str) -> String {
    let (address, options) = server.split_at(server.find('?').unwrap_or(server.len()));
    let (address, _) = address.rsplit_once('/').unwrap();
    format!("{address}/{name}{options}")
}

/// One empty database of each kind, each with a directory that lives as long.
pub async fn databases() -> Vec<(Db, TempDir)> {
    let mut all = vec![sqlite().await];
    if let Some(server) = postgres() {
        all.push((Db::postgres(&fresh_url(&server).await).await.unwrap(), tempfile::tempdir().unwrap()));
    }
    all
}

/// SQLite alone, for what does not depend on the database.
pub async fn sqlite() -> (Db, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Db::sqlite(&dir.path().join("db")).await.unwrap(), dir)
}

/// Lets in whoever says who they are: tokens are `role:project`, such as `member:a`.
pub struct Tokens;

impl Authority for Tokens {
    fn verify<'a>(&'a self, token: &'a str) -> Pin<Box<dyn Future<Output = Result<Arc<Auth>>> + Send + 'a>> {
        Box::pin(async move { auth(token).map(Arc::new).ok_or_else(Fault::unauthorized) })
    }
}

/// Who shows such a token.
pub fn auth(token: &str) -> Option<Auth> {
    let (role, project) = token.split_once(':')?;
    let (domain_id, domain_name) = (DomainId::from("default"), "Default".to_owned());
    let user = Named {
        id: UserId::from(token),
        name: role.into(),
        domain_id: domain_id.clone(),
        domain_name: domain_name.clone(),
    };
    let project = Named { id: ProjectId::from(project), name: project.into(), domain_id, domain_name };
    Some(Auth { user, scope: Scope::Project(project), level: Level::of_role(role), ..Auth::nobody() })
}
