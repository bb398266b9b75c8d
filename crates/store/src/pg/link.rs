//! One connection: how it is made, what it may take, whether it is still good.

use super::Prepared;
use super::tls::{self, Tls};
use base::{Fault, Kind, Result};
use postgres::config::TargetSessionAttrs;
use postgres::{Client, Config};
use std::time::Duration;

/// How long a server may take to answer that it is there.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection that is taken from the pool may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How long what was sent may stay unacknowledged: a cut link looks like silence.
const SILENCE: Duration = Duration::from_secs(10);
/// Limits on the server's side: a statement, a lock, and a transaction that does nothing (whose process is
/// gone, most likely). Our own take milliseconds.
const LIMITS: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s';
     SET idle_in_transaction_session_timeout = '30s'";

/// Where a connection leads: enough to find a lost transaction again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of the server's history: another one after each failover.
    pub timeline: String,
    /// The server's process for this connection.
    pub backend: i64,
}

pub struct Link {
    pub client: Client,
    pub prepared: Prepared,
    pub place: Place,
    /// Nothing good comes of it any more.
    pub spent: bool,
}

#[derive(Clone)]
pub struct Manager {
    config: Config,
    tls: Tls,
}

impl Manager {
    pub fn new(url: &str) -> Result<Manager> {
        let (url, tls) = tls::of(url)?;
        let mut config: Config = url.parse().map_err(|e: postgres::Error| {
            Fault::bad_request(format!(
                "`database` is no PostgreSQL address: {}. It looks like postgres://user:password@host:5432/name.",
                whole(&e)
            ))
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        config
            .keepalives_idle(SILENCE)
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_application_name().is_none() {
            config.application_name("hanok");
        }
        Ok(Manager { config, tls })
    }

    /// A connection without limits of the pool's.
    pub fn open(&self) -> Result<Client, postgres::Error> {
        self.config.connect(self.tls.clone())
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Link;
    type Error = postgres::Error;

    fn connect(&self) -> Result<Link, postgres::Error> {
        let mut client = self.open()?;
        client.batch_execute(LIMITS)?;
        // A standby refuses this, so it is also a look whether the server may be written.
        let row = client.query_one(
            "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), pg_backend_pid()::bigint",
            &[],
        )?;
        let place = Place { timeline: row.try_get(0)?, backend: row.try_get(1)? };
        Ok(Link { client, prepared: Prepared::default(), place, spent: false })
    }

    fn is_valid(&self, link: &mut Link) -> Result<(), postgres::Error> {
        link.client.is_valid(ANSWER).inspect_err(|_| link.spent = true)
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        link.spent || link.client.is_closed()
    }
}

/// An error with all its causes; the client's own words name the first only.
pub fn whole(e: &postgres::Error) -> String {
    let mut text = e.to_string();
    let mut cause = std::error::Error::source(e);
    while let Some(c) = cause {
        let more = c.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = c.source();
    }
    text
}

/// What is told when the first connection fails.
pub fn cannot_connect(e: &postgres::Error) -> Fault {
    Fault::new(
        Kind::Unavailable,
        format!("The database cannot be used: {}. Look at `database` in the configuration.", whole(e)),
    )
}
