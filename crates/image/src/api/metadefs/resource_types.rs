//! What namespaces are about.

use super::{check, visible};
use crate::Image;
use crate::table::metadef::{self, Association, Namespace};
use api::{Obj, Reply, Req};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use store::log;

pub fn parse(body: &Obj, n: &Namespace) -> Result<Association> {
    check::only(body, &["name", "prefix", "properties_target", "created_at", "updated_at"])?;
    Ok(Association {
        namespace: n.id.clone(),
        resource_type: check::required_name(body)?,
        prefix: body.opt_str("prefix", check::NAME)?,
        target: body.opt_str("properties_target", check::NAME)?,
        created_at: Micros::now(),
    })
}

pub async fn list(image: Arc<Image>, _: Req) -> Result<Reply> {
    let all = image.db.read(metadef::resource_types).await?;
    Ok(Reply::json(200, &json!({ "resource_types": all })))
}

pub async fn of_namespace(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (name, auth) = (req.text_param("ns").to_owned(), req.auth.clone());
    let all = image.db.read(move |tx| {
        let n = visible(tx, &auth, &name)?;
        metadef::associations(tx, std::iter::once(n.id.as_str()))
    });
    let all: Vec<Value> = all.await?.iter().map(Association::view).collect();
    Ok(Reply::json(200, &json!({ "resource_type_associations": all })))
}

pub async fn associate(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let (name, auth, who) = (req.text_param("ns").to_owned(), req.auth.clone(), req.who());
    let body = req.json().await?;
    let made = image.db.write(move |tx| {
        let n = visible(tx, &auth, &name)?;
        let new = parse(&body, &n)?;
        metadef::associate(tx, &n, &new)?;
        log::audit(tx, &who, "metadef.associate", &name)?;
        Ok(new.view())
    });
    Ok(Reply::json(201, &made.await?))
}

pub async fn dissociate(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (name, auth, who) = (req.text_param("ns").to_owned(), req.auth.clone(), req.who());
    let resource_type = req.text_param("name").to_owned();
    image
        .db
        .write(move |tx| {
            let n = visible(tx, &auth, &name)?;
            if !metadef::dissociate(tx, &n, &resource_type)? {
                return Err(Fault::not_found(format!(
                    "The metadata definition resource-type association of resource-type={resource_type} to \
                     namespace={name}, was not found."
                )));
            }
            log::audit(tx, &who, "metadef.dissociate", &name)
        })
        .await?;
    Ok(Reply::empty(204))
}
