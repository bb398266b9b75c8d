//! Brings the schema up to date. The files in `migrations/` run in order, each once, each in one
//! transaction. Each only adds, so that the release before works on beside it (expand); what is
//! no longer used is taken away by a later release, in a file named `…_contract` (contract).

use crate::{Db, Tx, params};
use base::{Fault, Micros, Result};

const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_core", include_str!("../../../migrations/0001_core.sql")),
    ("0002_identity", include_str!("../../../migrations/0002_identity.sql")),
    ("0003_image", include_str!("../../../migrations/0003_image.sql")),
    ("0004_network", include_str!("../../../migrations/0004_network.sql")),
    ("0005_compute", include_str!("../../../migrations/0005_compute.sql")),
    ("0006_identity_more", include_str!("../../../migrations/0006_identity_more.sql")),
    ("0007_image_holds", include_str!("../../../migrations/0007_image_holds.sql")),
    ("0007_image_tasks", include_str!("../../../migrations/0007_image_tasks.sql")),
    ("0007_image_metadefs", include_str!("../../../migrations/0007_image_metadefs.sql")),
    ("0008_network_sharing", include_str!("../../../migrations/0008_network_sharing.sql")),
    ("0009_network_services", include_str!("../../../migrations/0009_network_services.sql")),
    ("0010_compute_day", include_str!("../../../migrations/0010_compute_day.sql")),
    ("0011_compute_parts", include_str!("../../../migrations/0011_compute_parts.sql")),
    ("0011_compute_parts_less", include_str!("../../../migrations/0011_compute_parts_less.sql")),
    ("0012_compute_placing", include_str!("../../../migrations/0012_compute_placing.sql")),
    ("0012_compute_user_quota", include_str!("../../../migrations/0012_compute_user_quota.sql")),
    ("0013_authority", include_str!("../../../migrations/0013_authority.sql")),
    ("0013_join", include_str!("../../../migrations/0013_join.sql")),
    ("0014_network_hosts", include_str!("../../../migrations/0014_network_hosts.sql")),
    ("0015_regions", include_str!("../../../migrations/0015_regions.sql")),
    ("0016_fleet", include_str!("../../../migrations/0016_fleet.sql")),
    ("0016_moves", include_str!("../../../migrations/0016_moves.sql")),
    ("0017_scale", include_str!("../../../migrations/0017_scale.sql")),
    ("0018_compute_lock", include_str!("../../../migrations/0018_compute_lock.sql")),
    ("0019_metal", include_str!("../../../migrations/0019_metal.sql")),
    ("0020_metal_more", include_str!("../../../migrations/0020_metal_more.sql")),
    ("0021_portal", include_str!("../../../migrations/0021_portal.sql")),
    ("0025_compute_metal", include_str!("../../../migrations/0025_compute_metal.sql")),
    ("0022_maas", include_str!("../../../migrations/0022_maas.sql")),
    ("0022_maas_upload", include_str!("../../../migrations/0022_maas_upload.sql")),
    ("0027_maas_networks", include_str!("../../../migrations/0027_maas_networks.sql")),
    ("0027_machine_console", include_str!("../../../migrations/0027_machine_console.sql")),
    ("0028_image_pieces", include_str!("../../../migrations/0028_image_pieces.sql")),
    ("0029_pods", include_str!("../../../migrations/0029_pods.sql")),
    ("0030_rack_back", include_str!("../../../migrations/0030_rack_back.sql")),
    ("0033_vlan_networks", include_str!("../../../migrations/0033_vlan_networks.sql")),
    ("0034_connected", include_str!("../../../migrations/0034_connected.sql")),
    ("0035_lasting_failure", include_str!("../../../migrations/0035_lasting_failure.sql")),
    ("0037_placing", include_str!("../../../migrations/0037_placing.sql")),
    ("0038_console_kept", include_str!("../../../migrations/0038_console_kept.sql")),
    ("0039_audit_named", include_str!("../../../migrations/0039_audit_named.sql")),
    ("0042_aggregate_number", include_str!("../../../migrations/0042_aggregate_number.sql")),
    ("0042_rebuilt_images", include_str!("../../../migrations/0042_rebuilt_images.sql")),
    ("0046_wrong_codes", include_str!("../../../migrations/0046_wrong_codes.sql")),
    ("0047_lent_sessions", include_str!("../../../migrations/0047_lent_sessions.sql")),
    ("0048_server_image", include_str!("../../../migrations/0048_server_image.sql")),
    ("0049_server_file", include_str!("../../../migrations/0049_server_file.sql")),
];

/// Names the schema that they make.
pub fn schema() -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut all = DefaultHasher::new();
    MIGRATIONS.hash(&mut all);
    all.finish()
}

/// Names of migrations that take something away, which older releases cannot live with, end so.
const CONTRACT: &str = "_contract";

pub async fn run(db: &Db) -> Result<()> {
    db.write(|tx| {
        one_at_a_time(tx)?;
        tx.batch("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, at BIGINT NOT NULL)")?;
        let done = tx.rows("SELECT name FROM migration", &[], |r| r.get::<String>(0))?;
        let newer: Vec<_> = done.iter().filter(|n| !MIGRATIONS.iter().any(|(m, _)| m == n)).collect();
        if let Some(name) = newer.iter().find(|n| n.ends_with(CONTRACT)) {
            return Err(Fault::unavailable(format!(
                "The database was brought up to date by a newer release (it holds {name}), and this one cannot work \
                 with what that took away. Start the newer release on this machine too."
            )));
        }
        if !newer.is_empty() {
            tracing::warn!(?newer, "the database is of a newer release, which this one can work with; update this one soon");
        }
        for (name, sql) in MIGRATIONS {
            if !done.iter().any(|n| n == name) {
                tx.batch(sql)?;
                tx.exec("INSERT INTO migration (name, at) VALUES ($1, $2)", params![*name, Micros::now()])?;
            }
        }
        Ok(())
    })
    .await
}

/// Holds off every other process that starts at the same time, and takes the time that a large table needs.
fn one_at_a_time(tx: &Tx<'_>) -> Result<()> {
    if tx.writes_alone() {
        return Ok(());
    }
    tx.batch(
        "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(5240001)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written before there were several region processes.
    const EARLIER: &[&str] = &["0011_compute_parts_less"];

    /// Regions of two releases share a database during an upgrade, so a migration only adds, and what it adds
    /// the older release need not know. Taking away is another release's, in a file that says so.
    #[test]
    fn migrations_only_add() {
        for (name, sql) in MIGRATIONS {
            if name.ends_with(CONTRACT) || EARLIER.contains(name) {
                continue;
            }
            let advice =
                format!("break the release before; do this in a NNNN_name{CONTRACT}.sql of a later one");
            assert_eq!(problems(sql), Vec::<String>::new(), "{name} would {advice}");
        }
    }

    fn problems(sql: &str) -> Vec<String> {
        let code: String =
            sql.lines().map(|l| l.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
        let mut found = Vec::new();
        for statement in code.split(';') {
            let text = statement.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
            let takes = [
                "DROP TABLE",
                "DROP COLUMN",
                "RENAME",
                "ALTER COLUMN",
                "SET NOT NULL",
                "TRUNCATE",
                "DELETE FROM",
            ];
            found.extend(takes.iter().filter(|t| text.contains(**t)).map(|t| format!("{t} in: {text}")));
            if text.contains("ADD COLUMN") && text.contains("NOT NULL") && !text.contains("DEFAULT") {
                found.push(format!("a new column that the older release does not fill: {text}"));
            }
            if text.contains("ADD CONSTRAINT")
                || (text.contains("CREATE UNIQUE INDEX") && !new_table(&code, &text))
            {
                found.push(format!("a rule that the older release does not know: {text}"));
            }
        }
        found
    }

    /// Whether a unique index is on a table, or on a column, that came with it.
    fn new_table(code: &str, index: &str) -> bool {
        let table = index.split(" ON ").nth(1).and_then(|t| t.split([' ', '(']).next()).unwrap_or_default();
        let code = code.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
        code.contains(&format!("CREATE TABLE {table} "))
            || code.contains(&format!("ALTER TABLE {table} ADD COLUMN"))
    }

    #[test]
    fn what_breaks_the_release_before_is_found() {
        for bad in [
            "ALTER TABLE a DROP COLUMN b;",
            "ALTER TABLE a RENAME COLUMN b TO c;",
            "DROP TABLE a;",
            "ALTER TABLE a ADD COLUMN b TEXT NOT NULL;",
            "CREATE UNIQUE INDEX i ON a (b);",
        ] {
            assert_eq!(problems(bad).len(), 1, "{bad}");
        }
        let fine = "CREATE TABLE a (b TEXT); -- DROP TABLE\nCREATE UNIQUE INDEX i ON a (b); ALTER TABLE c ADD COLUMN d TEXT NOT NULL DEFAULT '';";
        assert_eq!(problems(fine), Vec::<String>::new());
    }

    #[tokio::test]
    async fn an_older_release_works_with_more_and_refuses_less() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::sqlite(&dir.path().join("db")).await.unwrap();
        let newer = |name: &'static str| {
            db.write(move |tx| tx.exec("INSERT INTO migration VALUES ($1, 0)", params![name]))
        };
        newer("9998_more").await.unwrap();
        run(&db).await.unwrap();
        newer("9999_less_contract").await.unwrap();
        let fault = run(&db).await.unwrap_err();
        assert!(fault.message.contains("9999_less_contract"), "{fault}");
    }
}
