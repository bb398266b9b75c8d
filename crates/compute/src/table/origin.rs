//! What the images of servers said when these were made from them.

use crate::model::Server;
use base::{ImageId, Result, ServerId};
use std::collections::BTreeMap;
use store::{Tx, params};

/// The properties that the image of a server had when that was made; `None` where an older release made it.
pub fn properties(tx: &Tx<'_>, s: &Server) -> Result<Option<BTreeMap<String, String>>> {
    let sql = "SELECT properties FROM server_image WHERE server_id = $1 AND image_id = $2";
    tx.opt(sql, params![s.id, s.image_id], |r| Ok(serde_json::from_str(&r.get::<String>(0)?)?))
}

pub fn put(
    tx: &Tx<'_>,
    server: ServerId,
    image: ImageId,
    properties: &BTreeMap<String, String>,
) -> Result<()> {
    tx.exec(
        "INSERT INTO server_image (server_id, image_id, properties) VALUES ($1, $2, $3)
         ON CONFLICT (server_id) DO UPDATE SET image_id = excluded.image_id, properties = excluded.properties",
        params![server, image, serde_json::to_string(properties)?],
    )?;
    Ok(())
}
