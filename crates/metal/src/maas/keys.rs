//! API keys: `consumer:token:secret`. A key stands for a user in a project and carries no rights of its own.
//! The secret is shown once; its hash is kept (it is random, so one round of SHA-256 is enough).

use super::oauth::{Claim, refused};
use super::{Call, Door};
use api::{Auth, Reply};
use base::{Fault, Micros, ProjectId, Result, UserId};
use identity::people;
use rand::Rng;
use rand::distr::Alphanumeric;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::{Tx, log::audit, params};

/// Most keys of one user.
const MOST: i64 = 100;

/// A new key.
pub struct Key {
    pub consumer: String,
    pub token: String,
    pub secret: String,
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.consumer, self.token, self.secret)
    }
}

pub fn random(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

pub fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Makes a key for a user in a project.
///
/// # Errors
/// 403 when the user has too many.
pub fn make(tx: &Tx<'_>, user: &UserId, project: &ProjectId, name: &str) -> Result<Key> {
    tx.alone(&format!("MAAS keys of {user}"))?;
    let count: i64 =
        tx.one("SELECT COUNT(*) FROM maas_key WHERE user_id = $1", params![user], |r| r.get(0))?;
    if count >= MOST {
        return Err(Fault::quota(format!(
            "A user has at most {MOST} API keys. Delete one that is not needed."
        )));
    }
    let key = Key { consumer: random(18), token: random(18), secret: random(32), name: name.to_owned() };
    tx.exec(
        "INSERT INTO maas_key (token_key, consumer_key, secret_hash, user_id, project_id, name, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![&key.token, &key.consumer, hash(&key.secret), user, project, name, Micros::now()],
    )?;
    Ok(key)
}

/// What a claim stands for.
///
/// # Errors
/// 401 for a key that is not good (any more).
pub async fn check(door: &Door, claim: &Claim) -> Result<Arc<Auth>> {
    let (token, consumer, secret) = (claim.token.clone(), claim.consumer.clone(), hash(&claim.secret));
    let found = door
        .db
        .read(move |tx| {
            tx.opt(
                "SELECT user_id, project_id FROM maas_key
                 WHERE token_key = $1 AND consumer_key = $2 AND secret_hash = $3",
                params![token, consumer, secret],
                |r| Ok((r.get::<UserId>(0)?, r.get::<ProjectId>(1)?)),
            )
        })
        .await?;
    let (user, project) = found.ok_or_else(|| refused("Authorization Error: Invalid API key."))?;
    door.identity.stand(user, project, "maas").await.map_err(|fault| match fault.kind {
        base::Kind::Unauthorized => {
            refused("Authorization Error: The user of this API key may do nothing here any more.")
        }
        _ => fault,
    })
}

fn view(key: &Key) -> Value {
    json!({
        "consumer_key": key.consumer, "token_key": key.token, "token_secret": key.secret, "name": key.name,
    })
}

/// POST account/?op=create_authorisation_token
pub async fn create(door: Arc<Door>, call: Call) -> Result<Reply> {
    let name = call.fields.text("name")?.unwrap_or_else(|| "API key".to_owned());
    let (user, project, who) = (call.auth.user.id.clone(), call.auth.project()?.clone(), call.who());
    let key = door
        .db
        .write(move |tx| {
            let key = make(tx, &user, &project, &name)?;
            audit(tx, &who, "maas.key.create", &key.token)?;
            Ok(key)
        })
        .await?;
    Ok(Reply::json(200, &view(&key)))
}

/// POST account/?op=delete_authorisation_token
pub async fn delete(door: Arc<Door>, call: Call) -> Result<Reply> {
    let token = call.fields.need("token_key")?;
    let (user, who) = (call.auth.user.id.clone(), call.who());
    door.db
        .write(move |tx| {
            let sql = "DELETE FROM maas_key WHERE token_key = $1 AND user_id = $2";
            if tx.exec(sql, params![&token, &user])? == 0 {
                return Err(Fault::not_found("There is no such key among yours."));
            }
            audit(tx, &who, "maas.key.delete", &token)
        })
        .await?;
    Ok(Reply::empty(204))
}

/// POST account/?op=update_token_name. `token` is the token, or the whole key.
pub async fn rename(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (token, name) = (call.fields.need("token")?, call.fields.need("name")?);
    let token = token.split(':').nth(1).unwrap_or(&token).to_owned();
    let user = call.auth.user.id.clone();
    door.db
        .write(move |tx| {
            let sql = "UPDATE maas_key SET name = $3 WHERE token_key = $1 AND user_id = $2";
            match tx.exec(sql, params![&token, &user, &name])? {
                0 => Err(Fault::not_found("There is no such key among yours.")),
                _ => Ok(()),
            }
        })
        .await?;
    Ok(Reply::text(200, "text/plain; charset=utf-8", "Accepted"))
}

/// GET account/?op=list_authorisation_tokens. Secrets are not kept, so they are not shown.
pub async fn list(door: Arc<Door>, call: Call) -> Result<Reply> {
    let user = call.auth.user.id.clone();
    let found = door
        .db
        .read(move |tx| {
            tx.rows(
                "SELECT name, consumer_key, token_key FROM maas_key WHERE user_id = $1 ORDER BY created_at, token_key",
                params![&user],
                |r| {
                    let (name, consumer, token): (String, String, String) = (r.get(0)?, r.get(1)?, r.get(2)?);
                    Ok(json!({"name": name, "token": format!("{consumer}:{token}:")}))
                },
            )
        })
        .await?;
    Ok(Reply::json(200, &Value::Array(found)))
}

/// POST /MAAS/accounts/authenticate/: a name and a password for a key, which libmaas's `login` asks for.
pub async fn authenticate(door: Arc<Door>, call: Call) -> Result<Reply> {
    let (name, password) = (call.fields.need("username")?, call.fields.need("password")?);
    let consumer = call.fields.text("consumer")?.unwrap_or_else(|| format!("{name}@hanok"));
    let consumer: String = consumer.chars().take(255).collect();
    let user = door.identity.by_password(&name, &password).await?;
    let who = store::log::Who {
        request_id: call.request_id.clone(),
        user_id: user.0.clone(),
        project_id: String::new(),
    };
    let key = door
        .db
        .write(move |tx| {
            let project = people::home(tx, &user, None)?;
            // A client that logs in again and again under one name keeps its last few keys.
            tx.exec(
                "DELETE FROM maas_key WHERE user_id = $1 AND name = $2 AND token_key NOT IN
                   (SELECT token_key FROM maas_key WHERE user_id = $1 AND name = $2
                    ORDER BY created_at DESC LIMIT 9)",
                params![&user, &consumer],
            )?;
            let key = make(tx, &user, &project, &consumer)?;
            audit(tx, &who, "maas.key.create", &key.token)?;
            Ok(key)
        })
        .await?;
    Ok(Reply::json(200, &view(&key)))
}

/// What `hanok admin maas-key` prints, for a user by name and one of the user's projects by name.
pub fn make_for(tx: &Tx<'_>, user: &str, project: Option<&str>, name: &str) -> Result<Key> {
    let found = people::person_named(tx, user)?
        .ok_or_else(|| Fault::not_found(format!("There is no user {user} in the default domain.")))?;
    let project = people::home(tx, &found.id, project)?;
    make(tx, &found.id, &project, name)
}
