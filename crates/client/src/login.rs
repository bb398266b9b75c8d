//! Which cloud, and who we are there.

use crate::http_client::{Http, Reply};
use base::{Fault, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The installation on this machine, used when nothing else is said.
const OURS: &str = "/var/lib/hanok/clouds.yaml";

#[derive(Debug, Deserialize)]
struct Clouds {
    clouds: BTreeMap<String, Cloud>,
}

#[derive(Debug, Clone, Deserialize)]
struct Cloud {
    auth: Account,
    /// Whom to trust, if it is not the system's.
    #[serde(default)]
    cacert: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
struct Account {
    auth_url: String,
    username: String,
    password: String,
    project_name: String,
    #[serde(default = "default_domain")]
    user_domain_name: String,
    #[serde(default = "default_domain")]
    project_domain_name: String,
}

fn default_domain() -> String {
    "Default".to_owned()
}

/// A cloud that we are logged in to.
pub struct Session {
    http: Http,
    token: String,
}

impl Session {
    /// Logs in.
    ///
    /// # Errors
    /// With what to set when no cloud is found, and what the cloud said when it refuses.
    pub async fn open() -> Result<Session> {
        let Cloud { auth: account, cacert } = cloud()?;
        let base =
            account.auth_url.trim_end_matches('/').trim_end_matches("/v3").trim_end_matches("/identity");
        let http = Http::new(base, cacert.as_deref())?;
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": account.username, "domain": {"name": account.user_domain_name}, "password": account.password}}},
            "scope": {"project": {"name": account.project_name, "domain": {"name": account.project_domain_name}}},
        }});
        let reply = http.send("POST", "/identity/v3/auth/tokens?nocatalog", None, Some(body)).await?;
        let token = reply.header("x-subject-token").map(str::to_owned);
        let token = token.ok_or_else(|| Fault::unauthorized().because(reply.message()))?;
        Ok(Session { http, token })
    }

    /// Asks, and answers the JSON of a success.
    ///
    /// # Errors
    /// The cloud's own words for a refusal.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let reply = self.send(method, path, body).await?;
        if reply.status >= 400 {
            return Err(Fault::bad_request(reply.message()));
        }
        reply.json()
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Result<Reply> {
        self.http.send(method, path, Some(&self.token), body).await
    }

    /// The id of a server given by id or name.
    pub async fn server(&self, name: &str) -> Result<String> {
        let by_id = self.send("GET", &format!("/compute/v2.1/servers/{}", path_part(name)), None).await?;
        if by_id.status == 200 {
            return Ok(name.to_owned());
        }
        let list = self.ask("GET", "/compute/v2.1/servers", None).await?;
        let servers = list["servers"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> =
            servers.iter().filter(|s| s["name"] == name).filter_map(|s| s["id"].as_str()).collect();
        match found.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => Err(Fault::not_found(format!(
                "No server is named {name:?} in this project. `openstack server list` shows them."
            ))),
            many => Err(Fault::conflict(format!(
                "{} servers are named {name:?}; give the id of one: {}",
                many.len(),
                many.join(", ")
            ))),
        }
    }

    /// A connection for a WebSocket to the same cloud.
    pub async fn connect(&self) -> std::io::Result<tls::Stream> {
        self.http.connect().await
    }

    /// Address of a WebSocket on the same cloud.
    pub fn socket_url(&self, path: &str) -> String {
        self.http.socket_url(path)
    }
}

/// Text as one part of a path.
pub fn path_part(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-_.".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

fn cloud() -> Result<Cloud> {
    let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let cacert = var("OS_CACERT").map(PathBuf::from);
    if let (Some(auth_url), Some(username), Some(password)) =
        (var("OS_AUTH_URL"), var("OS_USERNAME"), var("OS_PASSWORD"))
    {
        let auth = Account {
            auth_url,
            username,
            password,
            project_name: var("OS_PROJECT_NAME").unwrap_or_else(|| "admin".into()),
            user_domain_name: var("OS_USER_DOMAIN_NAME").unwrap_or_else(default_domain),
            project_domain_name: var("OS_PROJECT_DOMAIN_NAME").unwrap_or_else(default_domain),
        };
        return Ok(Cloud { auth, cacert });
    }
    let name = var("OS_CLOUD").unwrap_or_else(|| "hanok".into());
    let home = var("HOME").map(|h| format!("{h}/.config/openstack/clouds.yaml"));
    let files = [
        var("OS_CLIENT_CONFIG_FILE"),
        Some("clouds.yaml".into()),
        home,
        Some("/etc/openstack/clouds.yaml".into()),
        Some(OURS.into()),
    ];
    let found = files.into_iter().flatten().map(PathBuf::from).find(|f| f.exists()).ok_or_else(|| {
        Fault::bad_request("No cloud is known here. Set OS_CLIENT_CONFIG_FILE to the clouds.yaml in Hanok's data directory, and OS_CLOUD to `hanok` or `demo`.")
    })?;
    let text = std::fs::read_to_string(&found)
        .map_err(|e| Fault::bad_request(format!("{} cannot be read: {e}", found.display())))?;
    let clouds: Clouds = serde_yaml_ng::from_str(&text)
        .map_err(|e| Fault::bad_request(format!("{} is not understood: {e}", found.display())))?;
    let mut found_cloud = clouds.clouds.get(&name).cloned();
    if let (Some(cloud), Some(cacert)) = (&mut found_cloud, cacert) {
        cloud.cacert = Some(cacert);
    }
    found_cloud.ok_or_else(|| {
        let names: Vec<_> = clouds.clouds.keys().map(String::as_str).collect();
        Fault::bad_request(format!("{} has no cloud {name:?}; it has {}.", found.display(), names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_clouds_yaml_and_escapes_paths() {
        let text = "clouds:\n  x:\n    auth: {auth_url: u, username: a, password: 'p: #', project_name: p}\n    region_name: r\n";
        let clouds: Clouds = serde_yaml_ng::from_str(text).unwrap();
        assert_eq!(clouds.clouds["x"].auth.password, "p: #");
        assert_eq!(clouds.clouds["x"].auth.user_domain_name, "Default");
        assert_eq!(path_part("a b/ü"), "a%20b%2F%C3%BC");
    }
}
