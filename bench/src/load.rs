//! A closed-loop load: N connections, each sending the next request when the last is answered.

use base::{Fault, Result};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long a server may take to get where it should.
const PATIENCE: Duration = Duration::from_secs(120);

/// A product to load, logged in as admin.
#[derive(Debug, Clone)]
pub struct Target {
    /// `address:port`.
    pub address: String,
    pub token: String,
    pub project: String,
}

/// One request, sent again and again.
#[derive(Debug, Clone)]
pub struct Load {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// What a load came to.
pub struct Outcome {
    latencies: Vec<Duration>,
    took: Duration,
    pub failed: usize,
    pub example: String,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = ((last as f64) * q).round() as usize;
        self.latencies.get(at).map_or(f64::NAN, |d| d.as_secs_f64() * 1e3)
    }
}

impl Load {
    pub fn get(path: &str, target: &Target) -> Load {
        let load = Load { method: "GET", path: path.to_owned(), headers: Vec::new(), body: Bytes::new() };
        load.auth(target)
    }
    pub fn post(path: &str, body: Value) -> Load {
        let headers = vec![("content-type", "application/json".to_owned())];
        Load { method: "POST", path: path.to_owned(), headers, body: Bytes::from(body.to_string()) }
    }
    pub fn auth(self, target: &Target) -> Load {
        self.header("x-auth-token", &target.token)
    }
    pub fn header(mut self, name: &'static str, value: &str) -> Load {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn request(&self, address: &str) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(self.method).uri(&self.path).header("host", address);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(self.body.clone())).map_err(Fault::internal)
    }

    /// Sends it from `concurrency` connections for `time`.
    pub async fn run(&self, target: &Target, concurrency: usize, time: Duration) -> Result<Outcome> {
        let mut workers = JoinSet::new();
        let begin = Instant::now();
        for _ in 0..concurrency {
            let (load, address) = (self.clone(), target.address.clone());
            workers.spawn(async move { load.repeat(&address, begin + time).await });
        }
        let mut all =
            Outcome { latencies: Vec::new(), took: Duration::ZERO, failed: 0, example: String::new() };
        while let Some(part) = workers.join_next().await {
            let part = part.map_err(Fault::internal)??;
            all.latencies.extend(part.latencies);
            all.failed += part.failed;
            if !part.example.is_empty() {
                all.example = part.example;
            }
        }
        all.took = begin.elapsed();
        all.latencies.sort_unstable();
        Ok(all)
    }

    async fn repeat(&self, address: &str, until: Instant) -> Result<Outcome> {
        let mut connection = connect(address).await?;
        let mut out =
            Outcome { latencies: Vec::new(), took: Duration::ZERO, failed: 0, example: String::new() };
        while Instant::now() < until {
            let begin = Instant::now();
            let (status, body) = exchange(&mut connection, self.request(address)?).await?;
            if status < 400 {
                out.latencies.push(begin.elapsed());
            } else {
                out.failed += 1;
                out.example = format!("{status} {}", String::from_utf8_lossy(&body[..body.len().min(200)]));
            }
        }
        Ok(out)
    }
}

impl Load {
    /// Sends a login once; answers the token and the project's id.
    pub async fn token(&self, target: &Target) -> Result<(String, String)> {
        let mut connection = connect(&target.address).await?;
        connection.ready().await.map_err(Fault::internal)?;
        let response =
            connection.send_request(self.request(&target.address)?).await.map_err(Fault::internal)?;
        let token =
            response.headers().get("x-subject-token").and_then(|t| t.to_str().ok()).map(str::to_owned);
        let body = response.into_body().collect().await.map_err(Fault::internal)?.to_bytes();
        let body: Value = serde_json::from_slice(&body)?;
        let token = token.ok_or_else(|| Fault::internal(format!("the login failed: {body}")))?;
        Ok((token, body["token"]["project"]["id"].as_str().unwrap_or_default().to_owned()))
    }
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Fault::internal)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes)> {
    connection.ready().await.map_err(Fault::internal)?;
    let response = connection.send_request(request).await.map_err(Fault::internal)?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await.map_err(Fault::internal)?.to_bytes()))
}

impl Target {
    /// One call with JSON both ways.
    pub async fn call(&self, method: &'static str, path: &str, body: Option<Value>) -> Result<Value> {
        let mut connection = connect(&self.address).await?;
        self.call_on(&mut connection, method, path, body).await
    }

    async fn call_on(
        &self,
        connection: &mut SendRequest<Full<Bytes>>,
        method: &'static str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value> {
        let mut load = Load::post(path, body.unwrap_or(json!({}))).auth(self);
        load.method = method;
        let (status, bytes) = exchange(connection, load.request(&self.address)?).await?;
        if status >= 400 {
            return Err(Fault::internal(format!(
                "{method} {path}: {status} {}",
                String::from_utf8_lossy(&bytes)
            )));
        }
        if bytes.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&bytes)?) }
    }

    /// Sends bytes as an image's content.
    pub async fn upload(&self, path: &str, body: Bytes) -> Result<()> {
        let headers = vec![("content-type", "application/octet-stream".to_owned())];
        let load = Load { method: "PUT", path: path.to_owned(), headers, body }.auth(self);
        let mut connection = connect(&self.address).await?;
        let (status, answer) = exchange(&mut connection, load.request(&self.address)?).await?;
        if status == 204 {
            return Ok(());
        }
        Err(Fault::internal(format!("PUT {path}: {status} {}", String::from_utf8_lossy(&answer))))
    }

    /// Reads a body to its end; answers its length.
    pub async fn download(&self, path: &str) -> Result<usize> {
        let mut connection = connect(&self.address).await?;
        connection.ready().await.map_err(Fault::internal)?;
        let request = Load::get(path, self).request(&self.address)?;
        let mut body = connection.send_request(request).await.map_err(Fault::internal)?.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame.map_err(Fault::internal)?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }

    /// Lifts the quotas that a load would meet.
    pub async fn unlimited(&self) -> Result<()> {
        let project = &self.project;
        let compute = json!({"quota_set": {"instances": -1, "cores": -1, "ram": -1}});
        self.call("PUT", &format!("/compute/v2.1/os-quota-sets/{project}"), Some(compute)).await?;
        let network = json!({"quota": {"network": -1, "subnet": -1, "port": -1}});
        self.call("PUT", &format!("/network/v2.0/quotas/{project}"), Some(network)).await?;
        Ok(())
    }

    /// A network with room for thousands of servers.
    pub async fn private_network(&self) -> Result<String> {
        let made = self
            .call("POST", "/network/v2.0/networks", Some(json!({"network": {"name": "servers"}})))
            .await?;
        let id = crate::id_of(&made, "network")?;
        let subnet = json!({"subnet": {"network_id": id, "ip_version": 4, "cidr": "10.64.0.0/16"}});
        self.call("POST", "/network/v2.0/subnets", Some(subnet)).await?;
        Ok(id)
    }

    async fn create_body(&self, name: &str, network: &str) -> Result<Value> {
        let images = self.call("GET", "/image/v2/images?name=mini", None).await?;
        let flavors = self.call("GET", "/compute/v2.1/flavors", None).await?;
        let nano = flavors["flavors"].as_array().and_then(|f| f.iter().find(|f| f["name"] == "nano"));
        Ok(json!({"server": {"name": name, "imageRef": images["images"][0]["id"],
            "flavorRef": nano.map(|f| f["id"].clone()), "networks": [{"uuid": network}]}}))
    }

    pub async fn create_server(&self, name: &str, network: &str) -> Result<String> {
        let body = self.create_body(name, network).await?;
        crate::id_of(&self.call("POST", "/compute/v2.1/servers", Some(body)).await?, "server")
    }

    pub async fn wait_active(&self, id: &str) -> Result<()> {
        self.wait_status(id, "ACTIVE").await
    }

    async fn wait_status(&self, id: &str, wanted: &str) -> Result<()> {
        let begin = Instant::now();
        let mut connection = connect(&self.address).await?;
        loop {
            let server =
                self.call_on(&mut connection, "GET", &format!("/compute/v2.1/servers/{id}"), None).await?;
            match server["server"]["status"].as_str() {
                Some(status) if status == wanted => return Ok(()),
                Some("ERROR") => return Err(Fault::internal(server["server"]["fault"].to_string())),
                _ if begin.elapsed() > PATIENCE => {
                    return Err(Fault::internal(format!("{id} is not {wanted} yet")));
                }
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Creates `n` servers from 16 connections, as many on each network; answers their ids and the time until all
    /// are ACTIVE.
    pub async fn create_until_active(
        &self,
        name: &str,
        n: usize,
        networks: &[String],
    ) -> Result<(Vec<String>, Duration)> {
        let mut bodies = Vec::new();
        for network in networks {
            bodies.push(self.create_body(name, network).await?);
        }
        let wishes: Vec<_> = (0..n).map(|i| bodies[i * bodies.len() / n].clone()).collect();
        let wishes = Arc::new(Mutex::new(wishes.into_iter()));
        let next = move || wishes.lock().ok()?.next();
        let begin = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..crate::CONCURRENCY {
            let (target, next) = (self.clone(), next.clone());
            workers.spawn(async move {
                let mut connection = connect(&target.address).await?;
                let mut ids = Vec::new();
                while let Some(wish) = next() {
                    let made =
                        target.call_on(&mut connection, "POST", "/compute/v2.1/servers", Some(wish)).await?;
                    ids.push(crate::id_of(&made, "server")?);
                }
                Ok::<_, Fault>(ids)
            });
        }
        let mut ids = Vec::new();
        while let Some(part) = workers.join_next().await {
            ids.extend(part.map_err(Fault::internal)??);
        }
        for other in ["BUILD", "ERROR"] {
            self.wait_none(&format!("/compute/v2.1/servers?limit=1&status={other}&name=%5E{name}")).await?;
        }
        Ok((ids, begin.elapsed()))
    }

    /// Gives the servers the flavor `micro` and confirms each.
    pub async fn resize_until_done(&self, ids: &[String]) -> Result<()> {
        let flavors = self.call("GET", "/compute/v2.1/flavors", None).await?;
        let micro = flavors["flavors"].as_array().and_then(|f| f.iter().find(|f| f["name"] == "micro"));
        let resize = json!({"resize": {"flavorRef": micro.map(|f| f["id"].clone())}});
        let mut workers = JoinSet::new();
        for chunk in ids.chunks(ids.len().div_ceil(crate::CONCURRENCY).max(1)) {
            let (target, chunk, resize) = (self.clone(), chunk.to_vec(), resize.clone());
            workers.spawn(async move {
                for id in chunk {
                    let action = format!("/compute/v2.1/servers/{id}/action");
                    target.call("POST", &action, Some(resize.clone())).await?;
                    target.wait_status(&id, "VERIFY_RESIZE").await?;
                    target.call("POST", &action, Some(json!({"confirmResize": null}))).await?;
                    target.wait_status(&id, "ACTIVE").await?;
                }
                Ok::<_, Fault>(())
            });
        }
        while let Some(part) = workers.join_next().await {
            part.map_err(Fault::internal)??;
        }
        Ok(())
    }

    /// Waits until a host is up.
    pub async fn wait_host(&self) -> Result<()> {
        let begin = Instant::now();
        loop {
            let all = self.call("GET", "/compute/v2.1/os-hypervisors/detail", None).await?;
            if all["hypervisors"].as_array().is_some_and(|h| h.iter().any(|h| h["state"] == "up")) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(Fault::internal(format!("no host is up: {all}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn delete_until_gone(&self, ids: &[String]) -> Result<()> {
        let mut workers = JoinSet::new();
        for chunk in ids.chunks(ids.len().div_ceil(crate::CONCURRENCY).max(1)) {
            let (target, chunk) = (self.clone(), chunk.to_vec());
            workers.spawn(async move {
                let mut connection = connect(&target.address).await?;
                for id in chunk {
                    target
                        .call_on(&mut connection, "DELETE", &format!("/compute/v2.1/servers/{id}"), None)
                        .await?;
                }
                Ok::<_, Fault>(())
            });
        }
        while let Some(part) = workers.join_next().await {
            part.map_err(Fault::internal)??;
        }
        self.wait_none("/compute/v2.1/servers?limit=1").await
    }

    /// Waits until a list of servers is empty.
    async fn wait_none(&self, path: &str) -> Result<()> {
        let begin = Instant::now();
        let mut connection = connect(&self.address).await?;
        loop {
            let list = self.call_on(&mut connection, "GET", path, None).await?;
            if list["servers"].as_array().is_some_and(Vec::is_empty) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(Fault::internal(format!("{path}: {list}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
