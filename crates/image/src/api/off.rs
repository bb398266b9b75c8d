//! Parts of the API that answer that they are switched off, as the real service does.

use crate::Image;
use api::{Reply, Req};
use base::{Fault, Result};
use std::sync::Arc;

/// # Errors
/// Always 404: there is one store, and clients ask this to choose among several.
pub async fn stores(_: Arc<Image>, _: Req) -> Result<Reply> {
    Err(Fault::not_found("Multi backend is not supported at this site."))
}

/// # Errors
/// Always 404: content is served from where it is kept, so there is nothing to cache.
pub async fn cache(_: Arc<Image>, _: Req) -> Result<Reply> {
    Err(Fault::not_found("Caching via API is not supported at this site."))
}
