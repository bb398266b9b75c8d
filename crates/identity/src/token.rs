//! What is inside a token: who, where, how and until when. Sealed (encrypted and signed) by [`crate::keys`].

use base::{DomainId, Fault, Micros, ProjectId, Result, UserId};
use base64::Engine;
use serde::{Deserialize, Serialize};

/// What a token is scoped to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    #[serde(rename = "n")]
    Nothing,
    #[serde(rename = "p")]
    Project(ProjectId),
    #[serde(rename = "d")]
    Domain(DomainId),
    #[serde(rename = "s")]
    System,
}

/// A token's content. Field names are short because it travels with each request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    #[serde(rename = "u")]
    pub user: UserId,
    #[serde(rename = "t")]
    pub target: Target,
    #[serde(rename = "m")]
    pub methods: Vec<String>,
    #[serde(rename = "i")]
    pub issued_at: Micros,
    #[serde(rename = "e")]
    pub expires_at: Micros,
    /// Its own first; then that of the token at the start of the chain, if it was made from one.
    #[serde(rename = "a")]
    pub audit_ids: Vec<String>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// When the password was set that it was made with. It is good only with that password, even if the
    /// login ran while the password was being changed.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub password_at: Option<Micros>,
    /// The trust that it was made with; `user` is the trustee then.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
}

impl Token {
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }
    /// # Errors
    /// `Kind::Unauthorized` for anything that is not a token.
    pub fn from_bytes(bytes: &[u8]) -> Result<Token> {
        let token: Token = serde_json::from_slice(bytes).map_err(|e| Fault::unauthorized().because(e))?;
        if token.audit_ids.is_empty() {
            return Err(Fault::unauthorized().because("a token without an audit id"));
        }
        Ok(token)
    }
    /// Its own audit id.
    pub fn audit_id(&self) -> &str {
        self.audit_ids.first().map_or("", String::as_str)
    }
}

/// A new audit id: 22 characters.
pub fn audit_id() -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travels() {
        let token = Token {
            user: UserId::new(),
            target: Target::Project(ProjectId::new()),
            methods: vec!["password".into()],
            issued_at: Micros::now(),
            expires_at: Micros::now(),
            audit_ids: vec![audit_id()],
            credential: None,
            password_at: Some(Micros::now()),
            trust: Some("t".into()),
        };
        assert_eq!(Token::from_bytes(&token.to_bytes().unwrap()).unwrap(), token);
        for bad in [&b""[..], b"{}", b"[1]", b"{\"u\":1}", b"\xff\xfe"] {
            assert_eq!(Token::from_bytes(bad).unwrap_err().kind, base::Kind::Unauthorized);
        }
    }
}
