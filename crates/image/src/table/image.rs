//! Images with their tags and properties.

use crate::model::{Container, Content, DiskFormat, MemberStatus, Record, Shown, Visibility, unknown};
use api::{Auth, Scope};
use base::{Fault, ImageId, Micros, Result, ServerId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::change::{self, What};
use store::{Row, Sql, Tx, params};

/// What [`record`] reads, from `image i` joined with its content `b`.
pub const COLUMNS: &str = "i.id, i.owner, i.name, i.status, i.visibility, i.disk_format, i.container_format,
    i.min_disk, i.min_ram, i.protected, i.os_hidden, i.virtual_size, i.created_at, i.updated_at,
    b.sha512, b.md5, b.bytes,
    (SELECT s.bytes FROM image_stage s WHERE s.image_id = i.id AND i.status = 'saving')";
pub const FROM: &str = "image i LEFT JOIN image_blob b ON b.sha512 = i.sha512";

pub fn record(r: &Row<'_>) -> Result<Record> {
    let content = match r.get::<Option<String>>(14)? {
        Some(sha512) => Some(Content { sha512, md5: r.get(15)?, bytes: r.get(16)? }),
        None => None,
    };
    Ok(Record {
        id: r.get(0)?,
        owner: r.get(1)?,
        name: r.get(2)?,
        status: r.get(3)?,
        visibility: r.get(4)?,
        disk_format: DiskFormat::maybe(r, 5)?,
        container: Container::maybe(r, 6)?,
        min_disk: r.get(7)?,
        min_ram: r.get(8)?,
        protected: r.get(9)?,
        hidden: r.get(10)?,
        virtual_size: r.get::<Option<i64>>(11)?.map(|n| n.unsigned_abs()),
        created_at: r.get(12)?,
        updated_at: r.get(13)?,
        content,
        arrived: r.get::<Option<i64>>(17)?.map(i64::unsigned_abs),
    })
}

/// The image, whoever asks.
pub fn find(tx: &Tx<'_>, id: ImageId) -> Result<Option<Record>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM {FROM} WHERE i.id = $1"), params![id], record)
}

/// The image if the caller may see it: admins see all, everybody what is public or of the community,
/// projects their own and what is shared with them, whatever they said to it.
///
/// # Errors
/// 404 for the rest, so that nobody learns which ids exist.
pub fn visible(tx: &Tx<'_>, auth: &Auth, id: ImageId) -> Result<Record> {
    let row = find(tx, id)?.ok_or_else(|| unknown(id))?;
    if row.is_of(auth) {
        return Ok(row);
    }
    let seen = match (row.visibility, &auth.scope) {
        (Visibility::Public | Visibility::Community, _) => true,
        (Visibility::Shared, Scope::Project(p)) => super::member::find(tx, id, &p.id)?.is_some(),
        _ => false,
    };
    if seen { Ok(row) } else { Err(unknown(id)) }
}

/// The image if the caller may change it, locked until the transaction ends. Every transaction that
/// changes images locks in this order: the work that fills it, image, quota, the content's work, content;
/// so none waits for another in a circle.
///
/// # Errors
/// 404 when the caller may not see it, 403 when only that.
pub fn changeable(tx: &Tx<'_>, auth: &Auth, id: ImageId) -> Result<Record> {
    lock(tx, id)?;
    let row = visible(tx, auth, id)?;
    row.changeable_by(auth)?;
    Ok(row)
}

/// The image, whoever asks, locked as by [`changeable`].
///
/// # Errors
/// 404 when there is none.
pub fn locked(tx: &Tx<'_>, id: ImageId) -> Result<Record> {
    lock(tx, id)?;
    find(tx, id)?.ok_or_else(|| unknown(id))
}

/// The server that the image is made from.
pub fn server_of(tx: &Tx<'_>, id: ImageId) -> Result<Option<ServerId>> {
    let row = tx.opt("SELECT server_id FROM image WHERE id = $1", params![id], |r| r.get(0))?;
    Ok(row.flatten())
}

pub fn set_server(tx: &Tx<'_>, id: ImageId, server: ServerId) -> Result<()> {
    tx.exec("UPDATE image SET server_id = $2 WHERE id = $1", params![id, server])?;
    Ok(())
}

/// Keeps other transactions from changing the image until this one ends. A write that changes nothing
/// is the lock that both databases have.
pub fn lock(tx: &Tx<'_>, id: ImageId) -> Result<()> {
    tx.exec("UPDATE image SET updated_at = updated_at WHERE id = $1", params![id])?;
    Ok(())
}

/// Adds tags and properties to rows, two statements for any number of rows.
pub fn complete(tx: &Tx<'_>, rows: Vec<Record>) -> Result<Vec<Shown>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut tags: HashMap<ImageId, BTreeSet<String>> = HashMap::new();
    let mut properties: HashMap<ImageId, BTreeMap<String, String>> = HashMap::new();
    let mut q = Sql::new("SELECT image_id, tag FROM image_tag WHERE 1 = 1");
    q.and_in("image_id", rows.iter().map(|r| r.id));
    for (id, tag) in q.rows(tx, |r| Ok((r.get::<ImageId>(0)?, r.get::<String>(1)?)))? {
        tags.entry(id).or_default().insert(tag);
    }
    let mut q = Sql::new("SELECT image_id, name, value FROM image_property WHERE 1 = 1");
    q.and_in("image_id", rows.iter().map(|r| r.id));
    for (id, name, value) in
        q.rows(tx, |r| Ok((r.get::<ImageId>(0)?, r.get::<String>(1)?, r.get::<String>(2)?)))?
    {
        properties.entry(id).or_default().insert(name, value);
    }
    let whole = rows.into_iter().map(|row| {
        let (tags, properties) = (tags.remove(&row.id), properties.remove(&row.id));
        Shown { row, properties: properties.unwrap_or_default(), tags: tags.unwrap_or_default() }
    });
    Ok(whole.collect())
}

pub fn complete_one(tx: &Tx<'_>, row: Record) -> Result<Shown> {
    complete(tx, vec![row])?.pop().ok_or_else(|| Fault::internal("an image was lost"))
}

/// # Errors
/// 409 when the id is taken.
pub fn insert(tx: &Tx<'_>, image: &Shown) -> Result<()> {
    let row = &image.row;
    tx.exec_unique(
        "INSERT INTO image (id, owner, name, status, visibility, disk_format, container_format, min_disk, min_ram,
         protected, os_hidden, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        params![
            row.id,
            &row.owner,
            &row.name,
            row.status.as_str(),
            row.visibility.as_str(),
            row.disk_format.map(|f| f.as_str()),
            row.container.map(|f| f.as_str()),
            row.min_disk,
            row.min_ram,
            row.protected,
            row.hidden,
            row.created_at,
            row.updated_at
        ],
        || Fault::conflict(format!("Image ID {} already exists!", row.id)),
    )?;
    write_extras(tx, image)
}

/// Writes everything that a client can change.
pub fn update(tx: &Tx<'_>, image: &Shown) -> Result<()> {
    let row = &image.row;
    tx.exec(
        "UPDATE image SET owner = $2, name = $3, visibility = $4, disk_format = $5, container_format = $6,
         min_disk = $7, min_ram = $8, protected = $9, os_hidden = $10, updated_at = $11 WHERE id = $1",
        params![
            row.id,
            &row.owner,
            &row.name,
            row.visibility.as_str(),
            row.disk_format.map(|f| f.as_str()),
            row.container.map(|f| f.as_str()),
            row.min_disk,
            row.min_ram,
            row.protected,
            row.hidden,
            Micros::now()
        ],
    )?;
    tx.exec("DELETE FROM image_property WHERE image_id = $1", params![row.id])?;
    tx.exec("DELETE FROM image_tag WHERE image_id = $1", params![row.id])?;
    write_extras(tx, image)
}

fn write_extras(tx: &Tx<'_>, image: &Shown) -> Result<()> {
    for (name, value) in &image.properties {
        tx.exec(
            "INSERT INTO image_property (image_id, name, value) VALUES ($1, $2, $3)",
            params![image.row.id, name, value],
        )?;
    }
    image.tags.iter().try_for_each(|tag| add_tag(tx, image.row.id, tag))
}

pub fn add_tag(tx: &Tx<'_>, id: ImageId, tag: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO image_tag (image_id, tag) VALUES ($1, $2) ON CONFLICT (image_id, tag) DO NOTHING",
        params![id, tag],
    )?;
    touch(tx, id)
}

/// True when the tag was there.
pub fn remove_tag(tx: &Tx<'_>, id: ImageId, tag: &str) -> Result<bool> {
    let n = tx.exec("DELETE FROM image_tag WHERE image_id = $1 AND tag = $2", params![id, tag])?;
    touch(tx, id)?;
    Ok(n > 0)
}

pub fn set_format(tx: &Tx<'_>, id: ImageId, format: DiskFormat) -> Result<()> {
    tx.exec("UPDATE image SET disk_format = $2 WHERE id = $1", params![id, format.as_str()])?;
    Ok(())
}

pub fn set_formats(
    tx: &Tx<'_>,
    id: ImageId,
    disk: Option<DiskFormat>,
    container: Option<Container>,
) -> Result<()> {
    tx.exec(
        "UPDATE image SET disk_format = $2, container_format = $3 WHERE id = $1",
        params![id, disk.map(DiskFormat::as_str), container.map(Container::as_str)],
    )?;
    Ok(())
}

pub fn set_property(tx: &Tx<'_>, id: ImageId, name: &str, value: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO image_property (image_id, name, value) VALUES ($1, $2, $3)
         ON CONFLICT (image_id, name) DO UPDATE SET value = excluded.value",
        params![id, name, value],
    )?;
    Ok(())
}

pub fn touch(tx: &Tx<'_>, id: ImageId) -> Result<()> {
    tx.exec("UPDATE image SET updated_at = $2 WHERE id = $1", params![id, Micros::now()])?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: ImageId) -> Result<()> {
    let sql = "DELETE FROM image WHERE id = $1 RETURNING owner, visibility";
    let gone = tx.opt(sql, params![id], |r| Ok((r.get::<String>(0)?, r.get::<Visibility>(1)?)))?;
    if let Some((owner, visibility)) = gone {
        let seen_by_all = matches!(visibility, Visibility::Public | Visibility::Community);
        let owner = if seen_by_all { change::EVERYBODY } else { &owner };
        change::owned(tx, "image", &id.to_string(), What::Deleted, owner);
    }
    Ok(())
}

/// The condition for rows that a project sees in lists without asking for more: its own, public ones,
/// and those shared with it that it gave one of `said` as answer.
pub fn listed_for(q: &mut Sql, project: &str, said: Option<MemberStatus>) {
    q.push(" AND (i.owner = ").bind(project).push(" OR i.visibility = 'public' OR ");
    shared_with(q, project, said);
    q.push(")");
}

/// The condition for rows that are shared with a project.
pub fn shared_with(q: &mut Sql, project: &str, said: Option<MemberStatus>) {
    q.push("(i.visibility = 'shared' AND EXISTS (SELECT 1 FROM image_member m WHERE m.image_id = i.id AND m.member_id = ");
    q.bind(project);
    if let Some(said) = said {
        q.push(" AND m.status = ").bind(said.as_str());
    }
    q.push("))");
}
