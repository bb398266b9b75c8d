//! `GET /hanok/v1/capacity`: what the hosts have and what still fits.

use crate::Portal;
use ::api::{Reply, Req};
use base::Result;
use std::sync::Arc;

/// Hosts, sums, and how many more servers of each flavor would find room. For administrators.
pub async fn show(p: Arc<Portal>, _: Req) -> Result<Reply> {
    Reply::json_of(200, &p.db.read(compute::capacity).await?)
}
