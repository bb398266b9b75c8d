//! The lock of one content: whoever puts or removes its file holds it until the transaction that goes with it
//! is done.
//!
//! Within a process it is a mutex. Processes that share a database also hold a row, which ends by itself
//! ([`FOR`]) when its holder dies; what is done under it takes far less.

use crate::Image;
use base::{Fault, Result};
use std::time::{Duration, Instant};
use store::{Db, params};
use tokio::sync::OwnedMutexGuard;

const FOR: Duration = Duration::from_secs(60);
/// How long one waits for another process.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);

/// Held until dropped.
pub struct Lock {
    _row: Option<Row>,
    _here: OwnedMutexGuard<()>,
}

struct Row {
    db: Db,
    sha512: String,
    by: String,
}

impl Image {
    /// # Errors
    /// `Unavailable` when another process does not let go of it.
    pub(crate) async fn lock(&self, sha512: &str) -> Result<Lock> {
        let here = self.contents.lock(sha512).await;
        if self.db.is_alone() {
            return Ok(Lock { _row: None, _here: here });
        }
        let by = base::ImageId::new().to_string();
        let until = Instant::now() + PATIENCE;
        while !take(&self.db, sha512, &by).await? {
            if Instant::now() > until {
                return Err(Fault::unavailable(format!("The content {sha512} is held by another process.")));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Lock { _row: Some(Row { db: self.db.clone(), sha512: sha512.to_owned(), by }), _here: here })
    }
}

async fn take(db: &Db, sha512: &str, by: &str) -> Result<bool> {
    let (sha512, by) = (sha512.to_owned(), by.to_owned());
    db.write(move |tx| {
        let now = tx.clock()?;
        let taken = tx.exec(
            "INSERT INTO image_lock (sha512, held_by, until) VALUES ($1, $2, $3)
             ON CONFLICT (sha512) DO UPDATE SET held_by = excluded.held_by, until = excluded.until
             WHERE image_lock.until < $4",
            params![&sha512, &by, now.plus(FOR), now],
        )?;
        Ok(taken == 1)
    })
    .await
}

impl Drop for Row {
    /// Lets go in the background. Where that fails, time does it.
    fn drop(&mut self) {
        let (db, sha512, by) = (self.db.clone(), self.sha512.clone(), self.by.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let sql = "DELETE FROM image_lock WHERE sha512 = $1 AND held_by = $2";
            if let Err(fault) = db.write(move |tx| tx.exec(sql, params![sha512, by])).await {
                tracing::debug!(%fault, "the lock of a content runs out by itself");
            }
        });
    }
}
