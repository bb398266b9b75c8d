//! Sharing: the owner names projects, each of them accepts or rejects.

use crate::limits::at_most;
use crate::model::{Member, MemberStatus, Record, Visibility, unknown};
use crate::{Image, table};
use api::{Auth, Obj, Reply, Req};
use base::{Fault, ImageId, Micros, ProjectId, Result};
use serde_json::json;
use std::sync::Arc;
use store::{Tx, log};

/// The image if the caller sees it and it can have members.
fn shared(tx: &Tx<'_>, auth: &Auth, id: ImageId) -> Result<Record> {
    let row = table::image::visible(tx, auth, id)?;
    if row.visibility != Visibility::Shared {
        return Err(Fault::forbidden("Only shared images have members."));
    }
    Ok(row)
}

/// A member that the caller may know of: the owner knows all, a member itself.
fn known(tx: &Tx<'_>, auth: &Auth, row: &Record, member: &ProjectId) -> Result<Member> {
    let own = auth.sees(member.as_str());
    let found = if row.is_of(auth) || own { table::member::find(tx, row.id, member)? } else { None };
    found.ok_or_else(|| {
        Fault::not_found(format!("{member} not found in the member list of the image {}.", row.id))
    })
}

pub async fn list(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth) = (req.param::<ImageId>("id")?, req.auth.clone());
    let members = image.db.read(move |tx| {
        let row = shared(tx, &auth, id)?;
        let mut all = table::member::of_image(tx, id)?;
        all.retain(|m| row.is_of(&auth) || auth.sees(m.member.as_str()));
        Ok(all)
    });
    let members: Vec<_> = members.await?.iter().map(Member::view).collect();
    Ok(Reply::json(200, &json!({"members": members, "schema": "/v2/schemas/members"})))
}

pub async fn show(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth) = (req.param::<ImageId>("id")?, req.auth.clone());
    let member = ProjectId::from(req.text_param("member"));
    let found = image.db.read(move |tx| {
        let row = shared(tx, &auth, id)?;
        known(tx, &auth, &row, &member)
    });
    Ok(Reply::json(200, &found.await?.view()))
}

pub async fn create(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    let body = req.json().await?;
    let member = ProjectId(body.name("member", 255)?);
    let max = image.limits.members;
    let made = image.db.write(move |tx| {
        table::image::lock(tx, id)?;
        let row = shared(tx, &auth, id)?;
        row.changeable_by(&auth)?;
        let now = Micros::now();
        let new =
            Member { image: id, member, status: MemberStatus::Pending, created_at: now, updated_at: now };
        table::member::insert(tx, &new)?;
        at_most("members", table::member::of_image(tx, id)?.len(), max)?;
        log::audit(tx, &who, "image.share", &id.to_string())?;
        Ok(new)
    });
    Ok(Reply::json(200, &made.await?.view()))
}

pub async fn update(image: Arc<Image>, mut req: Req) -> Result<Reply> {
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    let member = ProjectId::from(req.text_param("member"));
    let status = status(&req.json().await?)?;
    let updated = image.db.write(move |tx| {
        let row = shared(tx, &auth, id)?;
        let found = known(tx, &auth, &row, &member)?;
        if !auth.sees(member.as_str()) {
            return Err(Fault::forbidden(
                "Only the member itself accepts or rejects an image that is shared with it.",
            ));
        }
        table::member::set_status(tx, &found, status)?;
        log::audit(tx, &who, "image.answer", &id.to_string())?;
        table::member::find(tx, id, &member)?.ok_or_else(|| unknown(id))
    });
    Ok(Reply::json(200, &updated.await?.view()))
}

fn status(body: &Obj) -> Result<MemberStatus> {
    let word = body.str("status", 16)?;
    MemberStatus::of(&word).ok_or_else(|| {
        Fault::bad_request(format!("status: '{word}' is not one of {}.", MemberStatus::WORDS.join(", ")))
    })
}

pub async fn delete(image: Arc<Image>, req: Req) -> Result<Reply> {
    let (id, auth, who) = (req.param::<ImageId>("id")?, req.auth.clone(), req.who());
    let member = ProjectId::from(req.text_param("member"));
    image
        .db
        .write(move |tx| {
            let row = shared(tx, &auth, id)?;
            row.changeable_by(&auth)?;
            let found = known(tx, &auth, &row, &member)?;
            table::member::delete(tx, &found)?;
            log::audit(tx, &who, "image.unshare", &id.to_string())
        })
        .await?;
    Ok(Reply::empty(204))
}
