//! A verified token with everything that answers about it need, and how one comes to be.

use crate::login::SIGNED;
use crate::model::Trust;
use crate::resolve::{Credential, Resolved, resolve};
use crate::token::Token;
use crate::{Identity, catalog};
use api::{Auth, Req, Scope};
use base::{Fault, Micros, Result};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// Longest token that is looked at, in bytes. Ours are about 350.
const LONGEST: usize = 4096;

/// A token that is good, as of when it was resolved.
pub struct Session {
    pub auth: Arc<Auth>,
    pub token: Token,
    pub credential: Option<Credential>,
    pub trust: Option<Trust>,
    password_expires_at: Option<Micros>,
    /// The token's description up to where the catalogue goes.
    head: OnceLock<String>,
}

impl Session {
    pub fn new(token: Token, resolved: Resolved) -> Self {
        Session {
            auth: Arc::new(resolved.auth),
            token,
            credential: resolved.credential,
            trust: resolved.trust,
            password_expires_at: resolved.password_expires_at,
            head: OnceLock::new(),
        }
    }

    /// Whether it was made for a request that an ec2 key has signed. Such a key is good in its project and no more,
    /// so its tokens make no other way in.
    pub fn is_signed(&self) -> bool {
        self.token.methods.iter().any(|m| m == SIGNED)
    }

    /// `{"token": {…}}`, with the catalogue's text if there is one.
    pub fn body(&self, catalog: Option<&str>) -> String {
        let head = self.head.get_or_init(|| self.describe().to_string());
        let open = head.strip_suffix('}').unwrap_or(head);
        match catalog {
            Some(text) => format!("{{\"token\":{open},\"catalog\":{text}}}}}"),
            None => format!("{{\"token\":{head}}}"),
        }
    }

    fn describe(&self) -> Value {
        let auth = &self.auth;
        let mut token = json!({
            "methods": auth.methods,
            "user": {
                "id": auth.user.id,
                "name": auth.user.name,
                "domain": {"id": auth.user.domain_id, "name": auth.user.domain_name},
                "password_expires_at": self.password_expires_at.map(Micros::micros_bare),
            },
            "audit_ids": auth.audit_ids,
            "expires_at": auth.expires_at.micros_z(),
            "issued_at": auth.issued_at.micros_z(),
        });
        match &auth.scope {
            Scope::Unscoped => {}
            Scope::System => token["system"] = json!({"all": true}),
            Scope::Domain { id, name } => token["domain"] = json!({"id": id, "name": name}),
            Scope::Project(p) => {
                token["project"] = json!({
                    "id": p.id,
                    "name": p.name,
                    "domain": {"id": p.domain_id, "name": p.domain_name},
                });
                token["is_domain"] = json!(false);
            }
        }
        if auth.scope != Scope::Unscoped {
            let roles = auth.roles.iter().map(|(id, name)| json!({"id": id, "name": name}));
            token["roles"] = roles.collect();
        }
        if let Some(c) = &self.credential {
            token["application_credential"] =
                json!({"id": c.id, "name": c.name, "restricted": !c.unrestricted});
            if let Some(rules) = &c.access_rules {
                let shown = rules
                    .iter()
                    .map(|r| json!({"id": r.id, "service": r.service, "method": r.method, "path": r.path}));
                token["application_credential"]["access_rules"] = shown.collect();
            }
        }
        if let Some(t) = &self.trust {
            token["OS-TRUST:trust"] = json!({
                "id": t.id,
                "impersonation": t.impersonation,
                "trustor_user": {"id": t.trustor_id},
                "trustee_user": {"id": t.trustee_id},
            });
        }
        token
    }
}

impl Identity {
    /// Verifies a token.
    ///
    /// # Errors
    /// `Kind::Unauthorized` for one that is not good (any more).
    pub(crate) async fn session(&self, token: &str) -> Result<Arc<Session>> {
        if token.len() > LONGEST {
            return Err(Fault::unauthorized().because("the token is too long"));
        }
        if let Some(session) = self.cache.session(token) {
            return unexpired(session);
        }
        let content = Token::from_bytes(&self.keys.unseal(&self.db, token).await?)?;
        let (generation, rules) = (self.cache.generation(), self.rules.clone());
        let session = self
            .db
            .read(move |tx| {
                let resolved = resolve(tx, &rules, &content)?;
                Ok(Arc::new(Session::new(content, resolved)))
            })
            .await?;
        let session = unexpired(session)?;
        self.cache.keep_session(generation, token, session.clone());
        Ok(session)
    }

    /// The session of a request that its route has let through.
    pub(crate) async fn session_of(&self, req: &Req) -> Result<Arc<Session>> {
        self.session(req.header("x-auth-token").unwrap_or_default()).await
    }

    /// The text of the catalogue that goes with a scope; none for a token without one. `base` is put
    /// before addresses that are relative.
    pub(crate) async fn catalog(&self, scope: &Scope, base: &str) -> Result<Option<Arc<str>>> {
        let project = match scope {
            Scope::Unscoped => return Ok(None),
            Scope::Project(p) => p.id.as_str(),
            Scope::System | Scope::Domain { .. } => "",
        };
        let key = (project.to_owned(), base.to_owned());
        if let Some(text) = self.cache.catalog(&key) {
            return Ok(Some(text));
        }
        let generation = self.cache.generation();
        let (project, base) = key.clone();
        let text: Arc<str> = self.db.read(move |tx| catalog::text(tx, &project, &base)).await?.into();
        self.cache.keep_catalog(generation, key, text.clone());
        Ok(Some(text))
    }
}

fn unexpired(session: Arc<Session>) -> Result<Arc<Session>> {
    if session.token.expires_at <= Micros::now() {
        return Err(Fault::unauthorized().because("the token has expired"));
    }
    Ok(session)
}
