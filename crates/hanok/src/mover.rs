//! `hanok admin move-database`: from SQLite to PostgreSQL, or back, by one command.

use crate::config::Config;
use crate::say;
use crate::site::Site;
use base::{Fault, Result};
use store::transfer::{self, Moved, Report};

/// Moves what `config` names to `to`, a `postgres://` URL or `sqlite`.
///
/// # Errors
/// `Conflict` while a region runs, and when the target holds something else.
pub async fn run(config: Config, to: String) -> Result<()> {
    if config.database == to {
        return Err(Fault::bad_request(
            "The database in the configuration is that one already. Run this before changing the line, or name where \
             the data is now with --database.",
        ));
    }
    if !config.data.join("lock").exists() {
        return Err(Fault::bad_request(format!(
            "There is no region in {}. Run this where the region runs, with its --data.",
            config.data.display()
        )));
    }
    // Refuses while a region runs on the directory.
    let site = Site::take(config)?;
    let file = site.file("hanok.db");
    let target = Config { database: to.clone(), ..site.config.clone() };
    let (from, shown) = (site.config.database_shown(), target.database_shown());
    say::progress(&format!("moving {from} to {shown}"));
    let tell = |m: &Moved| say::progress(&format!("{:>9} rows  {}", m.rows, m.table));
    let report = match (site.config.database.as_str(), to.as_str()) {
        ("sqlite", url) if url.starts_with("postgres") => {
            transfer::to_postgres(&file, url, &shown, tell).await?
        }
        ("sqlite", _) => return Err(Fault::bad_request("--to is a postgres:// URL, or sqlite.")),
        (url, "sqlite") => transfer::to_sqlite(url, &file, tell).await?,
        _ => {
            return Err(Fault::bad_request(
                "A PostgreSQL database moves to another by PostgreSQL's own means: pg_dump and pg_restore.",
            ));
        }
    };
    tell_end(&report, &shown);
    site.release();
    Ok(())
}

fn tell_end(report: &Report, shown: &str) {
    let width = report.tables.iter().map(|m| m.table.len()).max().unwrap_or_default();
    say::out(&format!("{:<width$}  {:>9}  digest", "table", "rows"));
    for m in &report.tables {
        say::out(&format!("{:<width$}  {:>9}  {}", m.table, m.rows, &m.digest[..16]));
    }
    let rows: u64 = report.tables.iter().map(|m| m.rows).sum();
    let how =
        if report.already { "were there already, and are the same" } else { "moved, and read back the same" };
    say::out(&format!("{rows} rows in {} tables {how}.", report.tables.len()));
    say::out("Now change this line of the configuration, and start again:");
    say::out(&format!("  database = {shown:?}"));
    if shown.contains(":***@") {
        say::out("  (with the password in the place of ***)");
    }
}
