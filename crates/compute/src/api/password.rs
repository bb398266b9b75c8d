//! `os-server-password`: the password that a guest made for itself and told the metadata service, encrypted
//! with its user's key. Nobody else can read it; deleting it forgets it here, not in the guest.

use super::{changeable, server_id, visible};
use crate::Compute;
use crate::table::{password, server};
use api::{Reply, Req};
use base::Result;
use serde_json::json;
use std::sync::Arc;
use store::log;

/// `GET /servers/{id}/os-server-password`: empty while there is none.
pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth) = (server_id(&req)?, req.auth.clone());
    let found = c.db.read(move |tx| {
        visible(tx, &auth, id)?;
        Ok(password::of(tx, &[id])?.remove(&id).unwrap_or_default())
    });
    Ok(Reply::json(200, &json!({"password": found.await?})))
}

/// `DELETE /servers/{id}/os-server-password`.
pub async fn clear(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, who) = (server_id(&req)?, req.auth.clone(), req.who());
    c.db.write(move |tx| {
        changeable(tx, &auth, id)?;
        password::clear(tx, id)?;
        server::touch(tx, id)?;
        log::audit(tx, &who, "server.clear_password", &id.to_string())
    })
    .await?;
    Ok(Reply::empty(204))
}
