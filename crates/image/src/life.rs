//! Content that no image shows any more goes away.
//!
//! ```text
//!   Kept (an image shows it: at rest) ── woken when an image is deleted ──▶ file removed, then the row
//! ```
//!
//! The digest's lock is held from the look until the row is gone, so an upload of the same content is
//! either seen, or comes after and brings its own file. A crash between file and row leaves a row
//! without images, which the next step (or the next upload of that content) puts right.

use crate::{Image, content::blocking, table};
use base::Result;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::work::{Life, Step};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blob {
    Kept,
}

/// The life-cycle of contents, for the work engine.
pub struct BlobLife(pub(crate) Arc<Image>);

impl Life for BlobLife {
    const KIND: &'static str = "image_blob";
    type State = Blob;

    async fn step(&self, sha512: &str, state: &Blob) -> Result<Step<Blob>> {
        let lock = self.0.contents.lock(sha512).await;
        let digest = sha512.to_owned();
        if self.0.db.read(move |tx| table::blob::is_used(tx, &digest)).await? {
            return Ok(Step::rest(state.clone()));
        }
        let (image, digest) = (self.0.clone(), sha512.to_owned());
        blocking(move || image.contents.remove(&digest)).await?;
        let digest = sha512.to_owned();
        Ok(Step::gone().also(move |tx| {
            table::blob::delete_unused(tx, &digest)?;
            drop(lock);
            Ok(())
        }))
    }

    fn budget(_: &Blob) -> Option<Duration> {
        None
    }
}
