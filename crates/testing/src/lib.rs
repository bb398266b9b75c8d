//! What the tests of several crates share: databases of their own, and people to be.
//!
//! Each test gets an empty database: SQLite in a directory of its own always, and a schema of its own on the
//! PostgreSQL that `HANOK_TEST_POSTGRES` names. Whatever is wrong here ends the test.
#![expect(clippy::unwrap_used, reason = "a test that cannot get its database has failed")]

use api::{Auth, Authority, Level, Named, Scope};
use base::{DomainId, Fault, ProjectId, Result, UserId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use store::Db;
use tempfile::TempDir;

/// The URL of the tests' PostgreSQL, where there is one.
pub fn postgres() -> Option<String> {
    std::env::var("HANOK_TEST_POSTGRES").ok()
}

/// The URL of a schema of its own on that server, in which nothing is yet.
pub async fn fresh_url(server: &str) -> String {
    let schema = format!("t{}", uuid::Uuid::new_v4().simple());
    let (url, name) = (server.to_owned(), schema.clone());
    let make = move || {
        let mut c = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        c.batch_execute(&format!("CREATE SCHEMA {name}")).unwrap();
    };
    tokio::task::spawn_blocking(make).await.unwrap();
    let sep = if server.contains('?') { '&' } else { '?' };
    format!("{server}{sep}options=-c%20search_path%3D{schema}")
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
