//! Direct calls of the APIs, where the Python client is not the point.

use crate::http::{self, Answer};
use crate::wait::{LONG, until};
use crate::world::password_login;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Who calls. Cheap to clone, and it may go to other threads.
#[derive(Debug, Clone)]
pub struct Api {
    pub to: SocketAddr,
    token: Option<String>,
    pub project: String,
    /// Set where the region speaks TLS: what its certificate authority has signed is trusted.
    tls: Option<Arc<tls::ClientConfig>>,
}

impl Api {
    pub fn anonymous(to: SocketAddr) -> Api {
        Api { to, token: None, project: String::new(), tls: None }
    }

    /// Over TLS, trusting what is in the file.
    #[must_use]
    pub fn trusting(self, authority: &Path) -> Api {
        Api { tls: Some(tls::client_config(Some(authority)).unwrap()), ..self }
    }

    #[track_caller]
    pub fn login(to: SocketAddr, user: &str, password: &str, project: &str) -> Api {
        Api::anonymous(to).log_in(user, password, project)
    }

    /// By the same way as this one.
    #[track_caller]
    pub fn log_in(self, user: &str, password: &str, project: &str) -> Api {
        let body = password_login(user, password, project);
        let answer = self.send("POST", "/identity/v3/auth/tokens", &body);
        let said = answer.expect(201);
        let token = answer.header("x-subject-token").expect("a token").to_owned();
        let project = said["token"]["project"]["id"].as_str().expect("a project").to_owned();
        Api { token: Some(token), project, ..self }
    }

    pub fn with_token(&self, token: &str) -> Api {
        Api { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same caller, asking another process.
    pub fn at(&self, to: SocketAddr) -> Api {
        Api { to, ..self.clone() }
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &Value::Null)
    }
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body)
    }
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, body)
    }
    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &Value::Null)
    }

    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.try_send(method, path, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// For tests that kill the server under the call.
    pub fn try_send(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Answer> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(method, path, &[("Content-Type", "application/json")], text.as_bytes())
    }

    /// Any bytes, any headers.
    pub fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut headers = headers.to_vec();
        if let Some(token) = &self.token {
            headers.push(("X-Auth-Token", token));
        }
        let stream = http::connect(self.to)?;
        match &self.tls {
            None => http::send(stream, self.to, method, path, &headers, body),
            Some(config) => {
                let name = self.to.ip().into();
                let client =
                    tls::ClientConnection::new(config.clone(), name).map_err(std::io::Error::other)?;
                let stream = tls::StreamOwned::new(client, stream);
                http::send(stream, self.to, method, path, &headers, body)
            }
        }
    }

    /// The id of the only thing with this name in a collection such as `/network/v2.0/networks`.
    #[track_caller]
    pub fn id_of(&self, collection: &str, name: &str) -> String {
        let list = self.get(collection).expect(200);
        let noun = collection.split('?').next().and_then(|p| p.rsplit('/').next()).unwrap_or_default();
        let noun = &noun.replace('-', "_");
        let found: Vec<_> = list[noun].as_array().expect(noun).iter().filter(|x| x["name"] == name).collect();
        assert_eq!(found.len(), 1, "{collection} with the name {name}: {list}");
        found[0]["id"].as_str().expect("an id").to_owned()
    }

    pub fn image(&self, name: &str) -> String {
        self.id_of("/image/v2/images", name)
    }
    pub fn flavor(&self, name: &str) -> String {
        self.id_of("/compute/v2.1/flavors", name)
    }
    pub fn network(&self, name: &str) -> String {
        self.id_of("/network/v2.0/networks", name)
    }

    /// The body that asks for a small server with a NIC on each of the networks.
    pub fn server_body(&self, name: &str, networks: &[&str]) -> Value {
        let nics: Vec<_> = networks.iter().map(|n| json!({"uuid": n})).collect();
        json!({"server": {"name": name, "imageRef": self.image("mini"), "flavorRef": self.flavor("nano"), "networks": nics}})
    }

    /// Asks for a server and answers its id.
    #[track_caller]
    pub fn create_server(&self, body: &Value) -> String {
        let said = self.post("/compute/v2.1/servers", body).expect(202);
        said["server"]["id"].as_str().expect("an id").to_owned()
    }

    #[track_caller]
    pub fn server(&self, id: &str) -> Value {
        self.get(&format!("/compute/v2.1/servers/{id}")).expect(200)["server"].clone()
    }

    #[track_caller]
    pub fn action(&self, id: &str, action: &Value) -> Answer {
        self.post(&format!("/compute/v2.1/servers/{id}/action"), action)
    }

    /// Waits for a status; a server that comes to ERROR instead is told with its fault.
    #[track_caller]
    pub fn wait_for(&self, id: &str, status: &str) -> Value {
        until(LONG, &format!("server {id} becomes {status}"), || {
            let server = self.server(id);
            let wrong = server["status"] == "ERROR" && status != "ERROR";
            assert!(!wrong, "server {id}: {}", server["fault"]);
            (server["status"] == status && server["OS-EXT-STS:task_state"].is_null()).then_some(server)
        })
    }

    #[track_caller]
    pub fn wait_until_gone(&self, id: &str) {
        until(LONG, &format!("server {id} is gone"), || {
            let answer = self.get(&format!("/compute/v2.1/servers/{id}"));
            (answer.status == 404).then_some(())
        });
    }

    #[track_caller]
    pub fn delete_server(&self, id: &str) {
        self.delete(&format!("/compute/v2.1/servers/{id}")).expect(204);
        self.wait_until_gone(id);
    }

    /// The ports of a server: id, MAC, first address.
    #[track_caller]
    pub fn ports_of(&self, server: &str) -> Vec<Value> {
        let said = self.get(&format!("/network/v2.0/ports?device_id={server}")).expect(200);
        said["ports"].as_array().expect("ports").clone()
    }

    /// The server's IPv4 address on its first network.
    #[track_caller]
    pub fn address_of(&self, server: &str) -> String {
        self.address_with(server, '.')
    }

    /// The server's IPv6 address on its first network.
    #[track_caller]
    pub fn address6_of(&self, server: &str) -> String {
        self.address_with(server, ':')
    }

    #[track_caller]
    fn address_with(&self, server: &str, mark: char) -> String {
        let ports = self.ports_of(server);
        let all = ports[0]["fixed_ips"].as_array().expect("addresses").iter();
        let mut all = all.filter_map(|f| f["ip_address"].as_str()).filter(|a| a.contains(mark));
        all.next().expect("an address").to_owned()
    }
}
