//! Brings the schema up to date. The files in `migrations/` run in order, each once, each in one
//! transaction.

use crate::{Db, params};
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
    ("0013_join", include_str!("../../../migrations/0013_join.sql")),
    ("0014_network_hosts", include_str!("../../../migrations/0014_network_hosts.sql")),
    ("0016_moves", include_str!("../../../migrations/0016_moves.sql")),
    ("0018_compute_lock", include_str!("../../../migrations/0018_compute_lock.sql")),
];

pub async fn run(db: &Db) -> Result<()> {
    db.write(|tx| {
        tx.batch("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, at BIGINT NOT NULL)")?;
        let done = tx.rows("SELECT name FROM migration", &[], |r| r.get::<String>(0))?;
        if let Some(newer) = done.iter().find(|n| !MIGRATIONS.iter().any(|(m, _)| m == n)) {
            return Err(Fault::unavailable(format!(
                "The database was made by a newer release (it holds {newer}). Start that release, or a newer one."
            )));
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
