//! HTTP services of the tests' own: a webhook, and a Redfish service with sessions, tags and a certificate.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What the service was asked, and what it holds.
#[derive(Default)]
pub struct Held {
    pub log: Vec<String>,
    pub on: bool,
    /// It is told to come up, and does not.
    pub dead: bool,
    pub sessions: Vec<String>,
    pub boot: Value,
    /// Answered to the next question instead of what it would.
    pub next: Option<(u16, Value)>,
}

pub struct Service {
    pub authority: String,
    pub held: Arc<Mutex<Held>>,
    task: tokio::task::JoinHandle<()>,
}

type Handler = fn(&mut Held, &Request<()>, &Value) -> Response<Full<Bytes>>;

impl Service {
    pub async fn start(handler: Handler, tls: Option<Arc<tls::ServerConfig>>) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let held = Arc::new(Mutex::new(Held::default()));
        let shared = held.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls::accept(tls, stream).await {
                                serve(TokioIo::new(stream), handler, shared).await;
                            }
                        }
                        None => serve(TokioIo::new(stream), handler, shared).await,
                    }
                });
            }
        });
        Service { authority, held, task }
    }

    pub fn log(&self) -> Vec<String> {
        self.held.lock().unwrap().log.clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S>(stream: S, handler: Handler, held: Arc<Mutex<Held>>)
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let answer = hyper::service::service_fn(|request: Request<Incoming>| {
        let held = held.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let mut held = held.lock().unwrap();
            let said = handler(&mut held, &Request::from_parts(head, ()), &body);
            Ok::<_, Infallible>(said)
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, answer).await;
}

fn say(status: u16, body: &Value) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(body.to_string())).unwrap()
}

/// `/on`, `/off`, `/power`, with a key in a header.
pub fn webhook(held: &mut Held, request: &Request<()>, _: &Value) -> Response<Full<Bytes>> {
    if request.headers().get("x-key").is_none_or(|k| k != "sesame") {
        return say(403, &json!({}));
    }
    match (request.method().as_str(), request.uri().path()) {
        ("POST", "/on") => held.on = true,
        ("POST", "/off") => held.on = false,
        ("GET", "/power") => {
            return say(200, &json!({"status": if held.on { "running" } else { "stopped" }}));
        }
        _ => return say(404, &json!({})),
    }
    held.log.push(request.uri().path().to_owned());
    say(200, &json!({}))
}

/// A BMC with sessions, one system, tags that must fit, and no graceful shutdown.
pub fn redfish(held: &mut Held, request: &Request<()>, body: &Value) -> Response<Full<Bytes>> {
    const SYSTEM: &str = "/redfish/v1/Systems/437XR1138R2";
    let (method, path) = (request.method().as_str(), request.uri().path());
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if let ("GET", "/") = (method, path) {
        return say(200, &json!("<html>the BMC's own pages</html>"));
    }
    if let ("GET", "/redfish/v1/") = (method, path) {
        let links = json!({"Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}});
        return say(200, &json!({"Systems": {"@odata.id": "/redfish/v1/Systems"}, "Links": links}));
    }
    if (method, path) == ("POST", "/redfish/v1/SessionService/Sessions") {
        if body["UserName"] != "admin" || body["Password"] != "secret" {
            return say(401, &json!({}));
        }
        let token = format!("token{}", held.log.len());
        held.log.push("log in".to_owned());
        held.sessions.push(token.clone());
        let mut said = say(201, &json!({}));
        let location = format!("/redfish/v1/SessionService/Sessions/{token}");
        said.headers_mut().insert("x-auth-token", token.parse().unwrap());
        said.headers_mut().insert("location", location.parse().unwrap());
        return said;
    }
    if !held.sessions.iter().any(|s| s == header("x-auth-token")) {
        return say(401, &json!({}));
    }
    if let Some((status, body)) = held.next.take() {
        return say(status, &body);
    }
    let tag = format!("W/\"{}\"", held.log.len());
    match (method, path) {
        ("DELETE", path) => {
            held.sessions.retain(|s| !path.ends_with(s.as_str()));
            held.log.push("log out".to_owned());
            say(204, &json!({}))
        }
        ("GET", "/redfish/v1/Systems") => say(200, &json!({"Members": [{"@odata.id": SYSTEM}]})),
        ("GET", SYSTEM) => say(
            200,
            &json!({
                "@odata.etag": tag,
                "PowerState": if held.on { "On" } else { "Off" },
                "Boot": {"BootSourceOverrideMode": "Legacy",
                    "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "UefiHttp", "Hdd"]},
                "Actions": {"#ComputerSystem.Reset": {"target": format!("{SYSTEM}/Actions/ComputerSystem.Reset"),
                    "@Redfish.ActionInfo": "/redfish/v1/Info"}},
            }),
        ),
        ("GET", "/redfish/v1/Info") => say(
            200,
            &json!({"Parameters": [{"Name": "ResetType", "AllowableValues": ["ForceOn", "ForceOff"]}]}),
        ),
        ("PATCH", SYSTEM) if header("if-match") != tag => say(412, &json!({})),
        ("PATCH", SYSTEM) => {
            held.boot = body["Boot"].clone();
            held.log.push("boot".to_owned());
            say(200, &json!({}))
        }
        ("POST", _) => {
            let kind = body["ResetType"].as_str().unwrap_or_default();
            held.log.push(kind.to_owned());
            if kind == "ForceOff" && !held.on {
                return say(409, &json!({"error": {"message": "The system is off."}}));
            }
            held.on = kind == "ForceOn" && !held.dead;
            say(StatusCode::NO_CONTENT.as_u16(), &json!({}))
        }
        _ => say(404, &json!({})),
    }
}
