//! Whom images are shared with.

use crate::model::{Member, MemberStatus};
use base::{Fault, ImageId, ProjectId, Result};
use store::{Row, Tx, params};

const COLUMNS: &str = "image_id, member_id, status, created_at, updated_at";

fn member(r: &Row<'_>) -> Result<Member> {
    Ok(Member {
        image: r.get(0)?,
        member: r.get(1)?,
        status: r.get(2)?,
        created_at: r.get(3)?,
        updated_at: r.get(4)?,
    })
}

pub fn find(tx: &Tx<'_>, image: ImageId, project: &ProjectId) -> Result<Option<Member>> {
    let sql = format!("SELECT {COLUMNS} FROM image_member WHERE image_id = $1 AND member_id = $2");
    tx.opt(&sql, params![image, project], member)
}

pub fn of_image(tx: &Tx<'_>, image: ImageId) -> Result<Vec<Member>> {
    let sql =
        format!("SELECT {COLUMNS} FROM image_member WHERE image_id = $1 ORDER BY created_at, member_id");
    tx.rows(&sql, params![image], member)
}

/// # Errors
/// 409 when the project is a member already.
pub fn insert(tx: &Tx<'_>, m: &Member) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO image_member (image_id, member_id, status, created_at, updated_at) VALUES ($1, $2, $3, $4, $5)",
        params![m.image, &m.member, m.status.as_str(), m.created_at, m.updated_at],
        || Fault::conflict(format!("Image member {} already exists for image {}.", m.member, m.image)),
    )?;
    Ok(())
}

pub fn set_status(tx: &Tx<'_>, m: &Member, status: MemberStatus) -> Result<()> {
    tx.exec(
        "UPDATE image_member SET status = $3, updated_at = $4 WHERE image_id = $1 AND member_id = $2",
        params![m.image, &m.member, status.as_str(), base::Micros::now()],
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, m: &Member) -> Result<()> {
    tx.exec("DELETE FROM image_member WHERE image_id = $1 AND member_id = $2", params![m.image, &m.member])?;
    Ok(())
}
