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
    /// Each is understood when it is asked for: one of another kind is no trouble of the others.
    clouds: BTreeMap<String, serde_yaml_ng::Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct Cloud {
    auth: Account,
    /// Whom to trust, if it is not the system's.
    #[serde(default)]
    cacert: Option<PathBuf>,
}

/// Part `auth` of a cloud, by the names that OpenStack's clients know.
#[derive(Debug, Clone, Default, Deserialize)]
struct Account {
    auth_url: String,
    username: Option<String>,
    password: Option<String>,
    /// A one-time code, for accounts that need one.
    passcode: Option<String>,
    user_domain_name: Option<String>,
    user_domain_id: Option<String>,
    project_name: Option<String>,
    project_id: Option<String>,
    project_domain_name: Option<String>,
    project_domain_id: Option<String>,
    application_credential_id: Option<String>,
    application_credential_secret: Option<String>,
}

impl Account {
    /// What the environment says, by the names that OpenStack's clients read there.
    fn of(var: impl Fn(&str) -> Option<String>) -> Account {
        Account {
            auth_url: var("OS_AUTH_URL").unwrap_or_default(),
            username: var("OS_USERNAME"),
            password: var("OS_PASSWORD"),
            passcode: var("OS_PASSCODE"),
            user_domain_name: var("OS_USER_DOMAIN_NAME"),
            user_domain_id: var("OS_USER_DOMAIN_ID"),
            project_name: var("OS_PROJECT_NAME"),
            project_id: var("OS_PROJECT_ID"),
            project_domain_name: var("OS_PROJECT_DOMAIN_NAME"),
            project_domain_id: var("OS_PROJECT_DOMAIN_ID"),
            application_credential_id: var("OS_APPLICATION_CREDENTIAL_ID"),
            application_credential_secret: var("OS_APPLICATION_CREDENTIAL_SECRET"),
        }
    }

    /// The body of `POST /v3/auth/tokens`.
    ///
    /// # Errors
    /// With what is missing.
    fn login(&self) -> Result<Value> {
        let need = |value: &Option<String>, what: &str| {
            value.clone().ok_or_else(|| {
                let name = what.to_uppercase();
                Fault::bad_request(format!(
                    "This cloud has no {what}. Put it into clouds.yaml, or set OS_{name}."
                ))
            })
        };
        if let Some(id) = &self.application_credential_id {
            let secret = need(&self.application_credential_secret, "application_credential_secret")?;
            return Ok(json!({"auth": {"identity": {
                "methods": ["application_credential"], "application_credential": {"id": id, "secret": secret}}}}));
        }
        let (name, whose) =
            (need(&self.username, "username")?, domain(&self.user_domain_id, &self.user_domain_name));
        let user = |what: &str, proof: &str| json!({"user": {"name": name, "domain": whose, what: proof}});
        let password = need(&self.password, "password")?;
        let mut identity = json!({"methods": ["password"], "password": user("password", &password)});
        if let Some(code) = &self.passcode {
            identity["methods"] = json!(["password", "totp"]);
            identity["totp"] = user("passcode", code);
        }
        let project = match (&self.project_id, &self.project_name) {
            (Some(id), _) => json!({"id": id}),
            (None, name) => json!({
                "name": need(name, "project_name")?,
                "domain": domain(&self.project_domain_id, &self.project_domain_name),
            }),
        };
        Ok(json!({"auth": {"identity": identity, "scope": {"project": project}}}))
    }
}

fn domain(id: &Option<String>, name: &Option<String>) -> Value {
    match id {
        Some(id) => json!({"id": id}),
        None => json!({"name": name.as_deref().unwrap_or("Default")}),
    }
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
        let reply =
            http.send("POST", "/identity/v3/auth/tokens?nocatalog", None, Some(account.login()?)).await?;
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
        self.server_named(name, "").await
    }

    /// The id of a server of any project by name, for administrators.
    pub async fn server_of_all(&self, name: &str) -> Result<String> {
        self.server_named(name, "&all_tenants=1").await
    }

    async fn server_named(&self, name: &str, whose: &str) -> Result<String> {
        // Asked by the name: a list of all has pages.
        let exactly = path_part(&format!("^{}$", literally(name)));
        let list = self.ask("GET", &format!("/compute/v2.1/servers?name={exactly}{whose}"), None).await?;
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

/// A regular expression for this text and no other.
fn literally(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

fn cloud() -> Result<Cloud> {
    let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let (cacert, said) = (var("OS_CACERT").map(PathBuf::from), Account::of(var));
    if !said.auth_url.is_empty() && (said.username.is_some() || said.application_credential_id.is_some()) {
        return Ok(Cloud { auth: said, cacert });
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
    let text = std::fs::read_to_string(&found).map_err(|e| {
        let how = if e.kind() == std::io::ErrorKind::PermissionDenied {
            " Use sudo, or a copy of your own and OS_CLIENT_CONFIG_FILE."
        } else {
            ""
        };
        Fault::bad_request(format!("{} cannot be read: {e}.{how}", found.display()))
    })?;
    let wrong =
        |e: serde_yaml_ng::Error| Fault::bad_request(format!("{} is not understood: {e}", found.display()));
    let clouds: Clouds = serde_yaml_ng::from_str(&text).map_err(wrong)?;
    let Some(asked) = clouds.clouds.get(&name) else {
        let names: Vec<_> = clouds.clouds.keys().map(String::as_str).collect();
        return Err(Fault::bad_request(format!(
            "{} has no cloud {name:?}; it has {}.",
            found.display(),
            names.join(", ")
        )));
    };
    let mut cloud: Cloud = serde_yaml_ng::from_value(asked.clone()).map_err(wrong)?;
    cloud.cacert = cacert.or(cloud.cacert);
    cloud.auth.password = cloud.auth.password.or(said.password);
    cloud.auth.passcode = said.passcode.or(cloud.auth.passcode);
    Ok(cloud)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A cloud of so many servers that those of the name are not on the first page.
    async fn crowded() -> Session {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let answer = |asked: &str| match asked {
            "/compute/v2.1/servers?name=%5Eweb%5C.1%24" => {
                (200, json!({"servers": [{"id": "one", "name": "web.1"}]}))
            }
            "/compute/v2.1/servers?name=%5Etwin%24" => {
                (200, json!({"servers": [{"id": "one", "name": "twin"}, {"id": "two", "name": "twin"}]}))
            }
            path if path.starts_with("/compute/v2.1/servers/") => (404, json!({})),
            _ => (
                200,
                json!({"servers": [{"id": "zero", "name": "twin"}], "servers_links": [{"rel": "next"}]}),
            ),
        };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let (status, body) = answer(head.split(' ').nth(1).unwrap());
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Session { http: Http::new(&base, None).unwrap(), token: "t".into() }
    }

    #[tokio::test]
    async fn a_server_is_found_among_many() {
        let session = crowded().await;
        assert_eq!(session.server("web.1").await.unwrap(), "one");
        let twins = session.server("twin").await.unwrap_err();
        assert_eq!((twins.kind, twins.message.contains("one, two")), (base::Kind::Conflict, true));
    }

    #[test]
    fn reads_clouds_yaml_and_escapes_paths() {
        let text = "clouds:\n  x:\n    auth: {auth_url: u, username: a, password: 'p: #', project_name: p}\n    region_name: r\n";
        let clouds: Clouds = serde_yaml_ng::from_str(text).unwrap();
        let cloud: Cloud = serde_yaml_ng::from_value(clouds.clouds["x"].clone()).unwrap();
        let body = cloud.auth.login().unwrap()["auth"].clone();
        assert_eq!(body["identity"]["password"]["user"]["password"], "p: #");
        assert_eq!(body["scope"]["project"], json!({"name": "p", "domain": {"name": "Default"}}));
        assert_eq!(path_part("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[test]
    fn logs_in_with_what_there_is() {
        let of = |pairs: &[(&str, &str)]| {
            Account::of(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        let user =
            [("OS_USERNAME", "lee"), ("OS_PASSWORD", "x"), ("OS_PROJECT_ID", "p"), ("OS_PASSCODE", "123")];
        let body = of(&user).login().unwrap()["auth"].clone();
        assert_eq!(body["identity"]["methods"], json!(["password", "totp"]));
        assert_eq!(body["identity"]["totp"]["user"]["passcode"], "123");
        assert_eq!(body["scope"], json!({"project": {"id": "p"}}));
        let without = of(&[user[0], user[2]]).login().unwrap_err();
        assert!(
            without.message.contains("no password") && without.message.contains("OS_PASSWORD"),
            "{without}"
        );
        let program = [("OS_APPLICATION_CREDENTIAL_ID", "i"), ("OS_APPLICATION_CREDENTIAL_SECRET", "s")];
        let body = of(&program).login().unwrap();
        let credential = json!({"id": "i", "secret": "s"});
        assert_eq!(body["auth"]["identity"]["application_credential"], credential);
        assert_eq!(body["auth"]["scope"], Value::Null, "it has its project by itself");
    }
}
