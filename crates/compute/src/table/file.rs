//! Files that servers are made and rebuilt with.

use base::doc::InjectedFile;
use base::{Result, ServerId};
use std::collections::HashMap;
use store::{Sql, Tx, params};

/// Of these servers, each in its order.
pub fn of(tx: &Tx<'_>, ids: &[ServerId]) -> Result<HashMap<ServerId, Vec<InjectedFile>>> {
    let mut q = Sql::new("SELECT server_id, path, content FROM server_file WHERE 1 = 1");
    q.and_in("server_id", ids).push(" ORDER BY server_id, n");
    let mut all: HashMap<ServerId, Vec<InjectedFile>> = HashMap::new();
    for (id, path, content) in q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))? {
        all.entry(id).or_default().push(InjectedFile { path, content });
    }
    Ok(all)
}

/// These, in the place of those that it had.
pub fn put(tx: &Tx<'_>, server: ServerId, files: &[InjectedFile]) -> Result<()> {
    tx.exec("DELETE FROM server_file WHERE server_id = $1", params![server])?;
    for (n, file) in files.iter().enumerate() {
        tx.exec(
            "INSERT INTO server_file (server_id, n, path, content) VALUES ($1, $2, $3, $4)",
            params![server, i64::try_from(n).unwrap_or(i64::MAX), &file.path, &file.content],
        )?;
    }
    Ok(())
}
