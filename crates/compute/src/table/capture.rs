//! Images being made of servers' disks. A row goes when its image is there, or will not be.

use base::{ImageId, Micros, Result, ServerId, doc};
use std::collections::HashMap;
use store::{Row, Sql, Tx, params};

/// What an image is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    Snapshot,
    /// The newest `rotation` of its type are kept.
    Backup {
        backup_type: String,
        rotation: usize,
    },
    /// The server is put aside as it.
    Shelve,
}

/// One image on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    pub image: ImageId,
    pub purpose: Purpose,
}

fn read(r: &Row<'_>) -> Result<Capture> {
    let purpose = match r.get::<String>(1)?.as_str() {
        "backup" => Purpose::Backup {
            backup_type: r.get(2)?,
            rotation: usize::try_from(r.get::<i64>(3)?).unwrap_or(usize::MAX),
        },
        "shelve" => Purpose::Shelve,
        _ => Purpose::Snapshot,
    };
    Ok(Capture { image: r.get(0)?, purpose })
}

pub fn insert(tx: &Tx<'_>, server: ServerId, c: &Capture) -> Result<()> {
    let (kind, backup_type, rotation) = match &c.purpose {
        Purpose::Snapshot => ("snapshot", "", 0),
        Purpose::Backup { backup_type, rotation } => {
            ("backup", backup_type.as_str(), i64::try_from(*rotation).unwrap_or(i64::MAX))
        }
        Purpose::Shelve => ("shelve", "", 0),
    };
    tx.exec(
        "INSERT INTO server_capture (image_id, server_id, kind, backup_type, rotation, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![c.image, server, kind, backup_type, rotation, Micros::now()],
    )?;
    Ok(())
}

/// Oldest first.
pub fn of_server(tx: &Tx<'_>, server: ServerId) -> Result<Vec<Capture>> {
    tx.rows(
        "SELECT image_id, kind, backup_type, rotation FROM server_capture WHERE server_id = $1
         ORDER BY created_at, image_id",
        params![server],
        read,
    )
}

/// As a host's document names them.
pub fn wanted(tx: &Tx<'_>, servers: &[ServerId]) -> Result<HashMap<ServerId, Vec<doc::Capture>>> {
    let mut q = Sql::new("SELECT server_id, image_id FROM server_capture WHERE 1 = 1");
    q.and_in("server_id", servers).push(" ORDER BY created_at, image_id");
    let mut all: HashMap<ServerId, Vec<doc::Capture>> = HashMap::new();
    for (server, image) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))? {
        all.entry(server).or_default().push(doc::Capture { image });
    }
    Ok(all)
}

/// The server that an image is being made of.
pub fn server_of(tx: &Tx<'_>, image: ImageId) -> Result<Option<ServerId>> {
    tx.opt("SELECT server_id FROM server_capture WHERE image_id = $1", params![image], |r| r.get(0))
}

pub fn forget(tx: &Tx<'_>, image: ImageId) -> Result<()> {
    tx.exec("DELETE FROM server_capture WHERE image_id = $1", params![image])?;
    Ok(())
}
