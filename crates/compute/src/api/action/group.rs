//! Security groups of a server's ports.

use crate::Compute;
use crate::api::changeable;
use api::{Obj, Reply, Req};
use base::{Fault, Kind, Result, ServerId};
use store::log;

pub async fn group(c: &Compute, req: &Req, o: &Obj, id: ServerId, add: bool) -> Result<Reply> {
    o.only(&["name"])?;
    let (name, auth, who) = (o.name("name", 255)?, req.auth.clone(), req.who());
    c.db.write(move |tx| {
        let s = changeable(tx, &auth, id)?;
        network::for_compute::change_group(tx, &s.project_id, id, &name, add).map_err(|f| match f.kind {
            Kind::BadReference => Fault::not_found(f.message),
            _ => f,
        })?;
        let what = if add { "server.add_security_group" } else { "server.remove_security_group" };
        log::audit(tx, &who, what, &id.to_string())
    })
    .await?;
    Ok(Reply::empty(202))
}
