//! Content that nobody uses any more goes away.
//!
//! ```text
//!   Kept (shown or held: at rest) ── woken, and nobody uses it: its row goes ──▶ Removing ──▶ its file goes
//!     ▲                                                                            │
//!     └───────────────────────── uploaded again meanwhile ◀────────────────────────┘
//! ```
//!
//! The row goes first: from then on nobody can begin to use the content, and foreign keys decide who was
//! faster. The digest's lock is held from the look for a row until the file is gone, so an upload of the
//! same content is either seen, or comes after and brings its own file.

use crate::{Image, content::blocking, table};
use base::Result;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::work::{Life, Step};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blob {
    Kept,
    /// Without a row.
    Removing,
}

/// The life-cycle of contents, for the work engine.
pub struct BlobLife(pub(crate) Arc<Image>);

impl Life for BlobLife {
    const KIND: &'static str = "image_blob";
    type State = Blob;

    async fn step(&self, sha512: &str, state: &Blob) -> Result<Step<Blob>> {
        let (image, digest) = (&self.0, sha512.to_owned());
        match state {
            Blob::Kept => {
                let look = digest.clone();
                if image.db.read(move |tx| table::blob::is_used(tx, &look)).await? {
                    return Ok(Step::rest(Blob::Kept));
                }
                Ok(Step::go(Blob::Removing).also(move |tx| table::blob::delete_unused(tx, &digest)))
            }
            Blob::Removing => {
                let lock = image.lock(sha512).await?;
                let look = digest.clone();
                if image.db.read(move |tx| table::blob::exists(tx, &look)).await? {
                    return Ok(Step::go(Blob::Kept));
                }
                let files = image.clone();
                blocking(move || files.contents.remove(&digest)).await?;
                Ok(Step::gone().holding(lock))
            }
        }
    }

    fn budget(state: &Blob) -> Option<Duration> {
        (*state == Blob::Removing).then_some(Duration::from_secs(60))
    }
}
