//! Who asks.

use crate::Level;
use base::{DomainId, Fault, Micros, ProjectId, Result, RoleId, UserId};
use http::Method;
use http::request::Parts;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A thing with a name inside a domain: a user or a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<I> {
    pub id: I,
    pub name: String,
    pub domain_id: DomainId,
    pub domain_name: String,
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Unscoped,
    Project(Named<ProjectId>),
    Domain { id: DomainId, name: String },
    System,
}

/// A verified token.
#[derive(Debug, Clone)]
pub struct Auth {
    pub user: Named<UserId>,
    pub scope: Scope,
    /// With implied roles expanded.
    pub roles: Vec<(RoleId, String)>,
    /// The highest of the default roles.
    pub level: Level,
    pub methods: Vec<String>,
    pub audit_ids: Vec<String>,
    pub issued_at: Micros,
    pub expires_at: Micros,
    pub application_credential: Option<String>,
}

impl Auth {
    /// The project that the token is scoped to.
    ///
    /// # Errors
    /// 403 when it is not scoped to a project.
    pub fn project(&self) -> Result<&ProjectId> {
        match &self.scope {
            Scope::Project(p) => Ok(&p.id),
            _ => Err(Fault::forbidden(
                "This needs a token that is scoped to a project. Name one when you log in.",
            )),
        }
    }
    /// Holder of the admin role: sees and may do everything, as OpenStack's legacy rule has it.
    pub fn is_admin(&self) -> bool {
        self.level == Level::Admin
    }
    /// Whether a resource of `project` is the caller's to see.
    pub fn sees(&self, project: &str) -> bool {
        self.is_admin() || matches!(&self.scope, Scope::Project(p) if p.id.as_str() == project)
    }
    /// Whose resources a list shows: `None` for everybody's (an admin who asked for all).
    pub fn list_project(&self, all: bool) -> Result<Option<ProjectId>> {
        if all && self.is_admin() { Ok(None) } else { self.project().cloned().map(Some) }
    }
    /// Whether no token was shown.
    pub fn is_nobody(&self) -> bool {
        self.user.id.0.is_empty()
    }
    /// For requests to open routes.
    pub fn nobody() -> Self {
        Auth {
            user: Named {
                id: UserId(String::new()),
                name: String::new(),
                domain_id: DomainId(String::new()),
                domain_name: String::new(),
            },
            scope: Scope::Unscoped,
            roles: Vec::new(),
            level: Level::None,
            methods: Vec::new(),
            audit_ids: Vec::new(),
            issued_at: Micros(0),
            expires_at: Micros(0),
            application_credential: None,
        }
    }
}

/// Turns a token into who holds it. Identity is the one.
pub trait Authority: Send + Sync {
    /// # Errors
    /// `Kind::Unauthorized` for a token that is not good (any more).
    fn verify<'a>(&'a self, token: &'a str) -> Pin<Box<dyn Future<Output = Result<Arc<Auth>>> + Send + 'a>>;

    /// Verifies a token for one request. A token may be good for some requests only (the access rules
    /// of application credentials). `path` is that of the request, from the server's root.
    ///
    /// # Errors
    /// `Kind::Unauthorized` too when the token is not good for this request.
    fn admit<'a>(
        &'a self,
        token: &'a str,
        _method: &'a Method,
        _path: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Auth>>> + Send + 'a>> {
        self.verify(token)
    }

    /// The token of the session that a browser's cookie names; `None` without a cookie. It is asked only where no
    /// token was sent. `base` is our own address, as in [`crate::Req::base`].
    ///
    /// # Errors
    /// `Kind::Unauthorized` for a session that is over, `Kind::Forbidden` for a request that may come from a page
    /// which is not ours.
    fn session<'a>(
        &'a self,
        _parts: &'a Parts,
        _base: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<String>>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
