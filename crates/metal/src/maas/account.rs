//! What belongs to the user of a key: SSH keys that machines let in, and files.

use super::fields::invalid;
use super::{Call, Door, keys, missing};
use crate::table::key::{self, Key};
use api::Reply;
use base::{Fault, Micros, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Tx, log::audit, params};

/// Most files of a user, and longest content in bytes.
const FILES: i64 = 1_000;
const LONGEST: usize = 16 << 20;
/// Most SSH keys of a user.
const SSH_KEYS: usize = 100;

fn key_view(k: &Key) -> Value {
    json!({
        "id": k.number, "key": k.key, "keysource": k.source,
        "resource_uri": format!("/MAAS/api/2.0/account/prefs/sshkeys/{}/", k.number),
    })
}

/// GET account/prefs/sshkeys/, and one of them.
pub async fn ssh_keys(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (user, wanted) = (call.auth.user.id.clone(), call.param("id").to_owned());
    let all = door.db.read(move |tx| key::of(tx, &user)).await?;
    if wanted.is_empty() {
        return Ok(Reply::json(200, &all.iter().map(key_view).collect()));
    }
    let found = all.iter().find(|k| k.number.to_string() == wanted).ok_or_else(missing)?;
    Ok(Reply::json(200, &key_view(found)))
}

/// POST account/prefs/sshkeys/ (`key`). Machines of the same user let it in from their next deployment on;
/// live systems let in those of administrators.
pub async fn add_ssh_key(door: Arc<Door>, call: Call) -> Result<Reply> {
    let text = call.fields.need("key")?;
    let made = move |tx: &Tx<'_>| {
        let user = &call.auth.user.id;
        if key::of(tx, user)?.len() >= SSH_KEYS {
            return Err(Fault::quota(format!("A user has at most {SSH_KEYS} SSH keys. Delete one first.")));
        }
        let made = key::add(tx, user, &text, "", call.is_admin()).map_err(|f| match f.kind {
            base::Kind::BadRequest | base::Kind::Conflict => invalid("key", f.message),
            _ => f,
        })?;
        audit(tx, &call.who(), "maas.ssh_key.create", &made.number.to_string())?;
        Ok(key_view(&made))
    };
    Ok(Reply::json(201, &door.db.write(made).await?))
}

pub async fn delete_ssh_key(door: Arc<Door>, call: Call) -> Result<Reply> {
    let number: i64 = call.param("id").parse().map_err(|_| missing())?;
    door.db
        .write(move |tx| {
            if !key::delete(tx, &call.auth.user.id, number)? {
                return Err(missing());
            }
            audit(tx, &call.who(), "maas.ssh_key.delete", &number.to_string())
        })
        .await?;
    Ok(Reply::empty(204))
}

fn file_view(name: &str, anon_key: &str) -> Value {
    let escaped = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    json!({
        "filename": name,
        "resource_uri": format!("/MAAS/api/2.0/files/{escaped}/"),
        "anon_resource_uri": format!("/MAAS/api/2.0/files/?op=get_by_key&key={anon_key}"),
    })
}

/// GET files/ (`prefix`): the user's own.
pub async fn files(door: Arc<Door>, call: Call) -> Result<Reply> {
    let prefix = call.fields.text("prefix")?.unwrap_or_default();
    let of = move |tx: &Tx<'_>| {
        let sql = "SELECT name, anon_key FROM maas_file WHERE user_id = $1 ORDER BY name";
        tx.rows(sql, params![&call.auth.user.id], |r| Ok((r.get::<String>(0)?, r.get::<String>(1)?)))
    };
    let all = door.db.read(of).await?;
    let named = all.iter().filter(|(name, _)| name.starts_with(&prefix));
    Ok(Reply::json(200, &named.map(|(name, key)| file_view(name, key)).collect()))
}

fn content_of(tx: &Tx<'_>, call: &Call, name: &str) -> Result<(String, String)> {
    let sql = "SELECT content, anon_key FROM maas_file WHERE user_id = $1 AND name = $2";
    let found = tx.opt(sql, params![&call.auth.user.id, name], |r| Ok((r.get(0)?, r.get(1)?)))?;
    found.ok_or_else(missing)
}

/// GET files/NAME/: with its content in base64.
pub async fn file(door: Arc<Door>, call: Call) -> Result<Reply> {
    let of = move |tx: &Tx<'_>| {
        let name = call.param("filename");
        let (content, key) = content_of(tx, &call, name)?;
        let mut view = file_view(name, &key);
        view["content"] = json!(content);
        Ok(view)
    };
    Ok(Reply::json(200, &door.db.read(of).await?))
}

fn bytes_of(coded: &str) -> Result<Reply> {
    let bytes = STANDARD.decode(coded).map_err(Fault::internal)?;
    Ok(Reply::text(200, "application/octet-stream", bytes))
}

/// GET files/?op=get (`filename`): the bytes.
pub async fn file_bytes(door: Arc<Door>, call: Call) -> Result<Reply> {
    let name = call.fields.need("filename")?;
    let (content, _) = door.db.read(move |tx| content_of(tx, &call, &name)).await?;
    bytes_of(&content)
}

/// GET files/?op=get_by_key (`key`): for who has the address, without an API key.
pub async fn file_by_key(door: Arc<Door>, call: Call) -> Result<Reply> {
    let key = call.fields.need("key")?;
    let sql = "SELECT content FROM maas_file WHERE anon_key = $1";
    let found: Option<String> = door.db.read(move |tx| tx.opt(sql, params![key], |r| r.get(0))).await?;
    bytes_of(&found.ok_or_else(missing)?)
}

/// POST files/ (`filename`, `file`): in the place of one that has the name.
pub async fn put_file(door: Arc<Door>, call: Call) -> Result<Reply> {
    let name = call.fields.need("filename")?;
    let other = || call.fields.iter().find(|(n, _)| !matches!(*n, "filename" | "op")).map(|(_, b)| b);
    let content: Bytes = match call.fields.bytes("file").or_else(other) {
        Some(bytes) if bytes.len() <= LONGEST => bytes.clone(),
        Some(_) => {
            return Err(Fault::new(base::Kind::TooLarge, format!("A file has at most {LONGEST} bytes.")));
        }
        None => return Err(invalid("file", "This field is required.")),
    };
    let kept = move |tx: &Tx<'_>| {
        let user = &call.auth.user.id;
        tx.alone(&format!("MAAS files of {user}"))?;
        let others = "SELECT COUNT(*) FROM maas_file WHERE user_id = $1 AND name <> $2";
        let count: i64 = tx.one(others, params![user, &name], |r| r.get(0))?;
        if count >= FILES {
            return Err(Fault::quota(format!("A user keeps at most {FILES} files. Delete one first.")));
        }
        tx.exec(
            "INSERT INTO maas_file (user_id, name, anon_key, content, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (user_id, name) DO UPDATE SET content = EXCLUDED.content",
            params![user, &name, keys::random(40), STANDARD.encode(&content), Micros::now()],
        )?;
        let (_, key) = content_of(tx, &call, &name)?;
        Ok(file_view(&name, &key))
    };
    Ok(Reply::json(201, &door.db.write(kept).await?))
}

pub async fn delete_file(door: Arc<Door>, call: Call) -> Result<Reply> {
    door.db
        .write(move |tx| {
            let sql = "DELETE FROM maas_file WHERE user_id = $1 AND name = $2";
            match tx.exec(sql, params![&call.auth.user.id, call.param("filename")])? {
                0 => Err(missing()),
                _ => Ok(()),
            }
        })
        .await?;
    Ok(Reply::empty(204))
}
