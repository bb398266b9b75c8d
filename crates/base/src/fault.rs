//! The one error type. A [`Fault`] is born where something goes wrong, carries the words the user
//! will read, and becomes each API's own body and status at the edge (`api::style`).

use std::fmt;

pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// What went wrong, independent of any API. Each API maps it to its own status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request cannot be understood or breaks a rule (400).
    BadRequest,
    /// A thing named in the request's body does not exist (400 in Compute, 404 elsewhere).
    BadReference,
    /// No token, or one that is not good (any more) (401).
    Unauthorized,
    /// The caller is known and may not do this (403).
    Forbidden,
    /// The resource in the path does not exist, or the caller may not know that it does (404).
    NotFound,
    MethodNotAllowed,
    /// No such microversion (406).
    NotAcceptable,
    /// The resource is in the wrong state, or the name is taken (409).
    Conflict,
    /// An API that there was once, in older releases of the service (410).
    Gone,
    /// `If-Match` did not hold (412).
    PreconditionFailed,
    /// The body is larger than the limit (413).
    TooLarge,
    /// The body's media type or content is not what was promised (415).
    UnsupportedMedia,
    /// The asked range lies outside the content (416).
    RangeNotSatisfiable,
    /// A quota is used up (403 in Compute and Identity, 409 in Network, 413 in Image).
    Quota,
    /// Something that we need is away for the moment (503).
    Unavailable,
    /// A part of the API that is refused (501).
    NotImplemented,
    /// Our own fault: the cause goes to the log, never to the user (500).
    Internal,
}

/// An error with the user's words (`message`), the log's words (`cause`), and optionally the
/// exception name that clients of the Network API match on (`tag`) and a header that HTTP wants to go
/// with the refusal (`Accept-Patch`, `Content-Range`).
#[derive(Debug, Clone)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
    pub tag: Option<&'static str>,
    pub cause: Option<String>,
    /// Lower-case name and value.
    pub header: Option<Box<(&'static str, String)>>,
}

impl Fault {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into(), tag: None, cause: None, header: None }
    }
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, message)
    }
    pub fn bad_reference(message: impl Into<String>) -> Self {
        Self::new(Kind::BadReference, message)
    }
    pub fn unauthorized() -> Self {
        Self::new(Kind::Unauthorized, "The request you have made requires authentication.")
    }
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, message)
    }
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }
    pub fn quota(message: impl Into<String>) -> Self {
        Self::new(Kind::Quota, message)
    }
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }
    /// Our own failure. The user reads a sentence without details; `cause` goes to the log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Fault {
            kind: Kind::Internal,
            message:
                "Something went wrong on our side. The request id leads to the log entry that says what."
                    .into(),
            tag: None,
            cause: Some(cause.to_string()),
            header: None,
        }
    }
    /// Sends a header along; the name is written in lower case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.header = Some(Box::new((name, value.into())));
        self
    }
    /// Names the exception that Network clients match on, such as `NetworkNotFound`.
    #[must_use]
    pub fn tag(mut self, tag: &'static str) -> Self {
        self.tag = Some(tag);
        self
    }
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }
    /// Other words for what does not exist. Whatever else went wrong (a database that is away) stays as it is.
    #[must_use]
    pub fn or_missing(self, words: impl FnOnce() -> Fault) -> Self {
        if self.kind == Kind::NotFound { words() } else { self }
    }
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{} ({cause})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::StorageFull {
            return Fault::new(Kind::TooLarge, "There is no space left on the disk that would hold this.")
                .because(e);
        }
        Fault::internal(e)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(e: serde_json::Error) -> Self {
        Fault::internal(e)
    }
}
