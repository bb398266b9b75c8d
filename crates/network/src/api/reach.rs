//! `GET /hanok/v1/reach?from=PORT&to=PORT[&protocol=tcp][&port=22]`: why can A not reach B.

use super::acl::PROTOCOLS;
use crate::Network;
use crate::reach::{self, Traffic};
use ::api::{Reply, Req};
use base::{Fault, PortId, Result};
use std::sync::Arc;

/// The way of a packet from one of the caller's ports to another and of its reply, up to whatever stops it.
pub async fn show(n: Arc<Network>, req: Req) -> Result<Reply> {
    let (from, to) = (port(&req, "from")?, port(&req, "to")?);
    let traffic = traffic(&req)?;
    let auth = req.auth.clone();
    let picture = n.db.read(move |tx| {
        let (from, to) = (reach::visible(tx, &auth, from)?, reach::visible(tx, &auth, to)?);
        reach::load(tx, from, to)
    });
    let mut answer = serde_json::to_value(reach::walk(&picture.await?, traffic))?;
    base::said::annotate(&mut answer);
    Ok(Reply::json(200, &answer))
}

fn port(req: &Req, field: &str) -> Result<PortId> {
    let text = req.query.get(field).unwrap_or_default();
    if text.is_empty() {
        return Err(Fault::bad_request(format!("Say with {field}= which port is meant, by its id.")));
    }
    text.parse().map_err(|_| Fault::not_found(format!("Port {text} could not be found.")))
}

fn traffic(req: &Req) -> Result<Traffic> {
    let text = |name: &str| req.query.get(name).filter(|v| !v.is_empty());
    let protocol = match text("protocol") {
        None => None,
        Some(name) => {
            let known = PROTOCOLS.iter().find(|(n, _)| *n == name.to_ascii_lowercase()).map(|(_, n)| *n);
            Some(known.or_else(|| name.parse().ok()).ok_or_else(|| {
                Fault::bad_request(format!("protocol is tcp, udp, icmp or a number, not {name:?}."))
            })?)
        }
    };
    let port = match text("port") {
        None => None,
        Some(n) => Some(
            n.parse().map_err(|_| Fault::bad_request(format!("port is a number up to 65535, not {n:?}.")))?,
        ),
    };
    if port.is_some() && protocol.is_none() {
        return Err(Fault::bad_request("A port belongs to a protocol: add protocol=tcp or protocol=udp."));
    }
    Ok(Traffic { protocol, port })
}
