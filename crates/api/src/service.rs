//! A service's route table, and the one place where a request becomes a [`Req`] and a `Fault` an answer.

use crate::linger::lingering;
use crate::{Auth, Authority, Channel, Microversions, Query, Reply, Req, Rule, Style, Version};
use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, Request, ws::WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use base::{Fault, Kind, Result};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tower::ServiceExt;

type Handler<S> =
    Arc<dyn Fn(Arc<S>, Req) -> Pin<Box<dyn Future<Output = Result<Reply>> + Send>> + Send + Sync>;

/// Longest host with its port, in characters: a name has at most 255.
const AUTHORITY: usize = 261;
const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// One line of a route table.
pub struct Route<S> {
    pub method: Method,
    pub path: &'static str,
    pub rule: Rule,
    /// Microversions in which it exists.
    from: Version,
    until: Version,
    handler: Handler<S>,
}

impl<S> Route<S> {
    /// It exists from microversion `v` on.
    pub fn since(&mut self, v: Version) -> &mut Self {
        self.from = v;
        self
    }
    /// It exists up to and including microversion `v`.
    pub fn until(&mut self, v: Version) -> &mut Self {
        self.until = v;
        self
    }
}

/// A route as tests and documents see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub method: Method,
    /// With the service's prefix.
    pub path: String,
    pub rule: Rule,
    pub style: Style,
}

/// What all services need to let requests in.
#[derive(Clone)]
pub struct Gate {
    pub authority: Arc<dyn Authority>,
    /// Configured public URL (behind a proxy); else links are made from the request's Host.
    pub public_url: Option<String>,
}

/// The table of contents of a service.
pub struct Service<S> {
    prefix: &'static str,
    style: Style,
    micro: Option<Microversions>,
    projects_below: Option<&'static str>,
    routes: Vec<Route<S>>,
}

/// The project that a client wrote into the address, before what it asks for.
#[derive(Debug, Clone)]
struct ProjectInUrl(String);

macro_rules! verbs {
    ($($name:ident $method:ident),*) => {$(
        pub fn $name<F, Fut>(&mut self, path: &'static str, rule: Rule, f: F) -> &mut Route<S>
        where
            F: Fn(Arc<S>, Req) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Reply>> + Send + 'static,
        {
            self.route(Method::$method, path, rule, f)
        }
    )*};
}

impl<S: Send + Sync + 'static> Service<S> {
    /// `prefix` is where the service lives, such as `/compute/v2.1`; paths follow it (axum syntax).
    pub fn new(prefix: &'static str, style: Style) -> Self {
        Service { prefix, style, micro: None, projects_below: None, routes: Vec::new() }
    }
    pub fn microversions(&mut self, m: Microversions) -> &mut Self {
        self.micro = Some(m);
        self
    }
    /// Every path below `version` (such as `/v2.1`) is also served with the caller's project between:
    /// `/v2.1/{project}/servers`. Another project's is refused with 400.
    pub fn projects_below(&mut self, version: &'static str) -> &mut Self {
        self.projects_below = Some(version);
        self
    }
    verbs!(get GET, post POST, put PUT, patch PATCH, delete DELETE, head HEAD);

    fn route<F, Fut>(&mut self, method: Method, path: &'static str, rule: Rule, f: F) -> &mut Route<S>
    where
        F: Fn(Arc<S>, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        let handler: Handler<S> = Arc::new(move |s, r| Box::pin(f(s, r)));
        let route = Route { method, path, rule, from: Version(0, 0), until: Version(u16::MAX, 0), handler };
        let at = self.routes.len();
        self.routes.push(route);
        &mut self.routes[at]
    }

    /// Every route, for the tests that walk them and the reference that lists them.
    pub fn list(&self) -> Vec<Listed> {
        let listed = self.routes.iter().map(|r| Listed {
            method: r.method.clone(),
            path: format!("{}{}", self.prefix, r.path),
            rule: r.rule,
            style: self.style,
        });
        listed.collect()
    }

    /// Becomes an axum router with the full paths.
    pub fn router(self, state: Arc<S>, gate: &Gate) -> Router {
        let front = Arc::new(Front { gate: gate.clone(), style: self.style, micro: self.micro });
        let mut router = Router::new();
        for route in self.routes {
            let path = format!("{}{}", self.prefix, route.path);
            let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
            let (front, state, route) = (front.clone(), state.clone(), Arc::new(route));
            let serve = move |request: Request| {
                let (front, state, route) = (front.clone(), state.clone(), route.clone());
                async move { front.serve(&route, state, request).await }
            };
            router = router.route(&path, on(filter, serve));
        }
        let missing = front.clone();
        let known = router.method_not_allowed_fallback(move |request: Request| {
            let front = front.clone();
            async move {
                front.refuse(
                    request,
                    Fault::new(Kind::MethodNotAllowed, "This address does not take that method."),
                )
            }
        });
        if self.prefix.is_empty() {
            return known;
        }
        let below = self.projects_below.map(|version| (format!("{}{version}/", self.prefix), known.clone()));
        let rest = on_any(move |request: Request| {
            let (front, below) = (missing.clone(), below.clone());
            async move {
                if let Some((start, known)) = &below
                    && let Some(inner) = without_project(&request, start)
                {
                    let Ok(response) = known.clone().oneshot(inner.apply(request)).await;
                    return response;
                }
                front.refuse(request, Fault::not_found("The resource could not be found."))
            }
        });
        known.route(&format!("{}/{{*rest}}", self.prefix), rest)
    }
}

/// What an address says when its project is taken out.
struct WithoutProject {
    project: ProjectInUrl,
    uri: Uri,
}

impl WithoutProject {
    fn apply(self, mut request: Request) -> Request {
        *request.uri_mut() = self.uri;
        request.extensions_mut().insert(self.project);
        request
    }
}

/// `/compute/v2.1/{project}/servers?…` as `/compute/v2.1/servers?…`, if the part looks like a project's id.
fn without_project(request: &Request, start: &str) -> Option<WithoutProject> {
    let (project, rest) = request.uri().path().strip_prefix(start)?.split_once('/')?;
    let id = project.len() >= 32 && project.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if !id || request.extensions().get::<ProjectInUrl>().is_some() {
        return None;
    }
    let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
    let uri = format!("{start}{rest}{query}").parse().ok()?;
    Some(WithoutProject { project: ProjectInUrl(project.to_owned()), uri })
}

fn on_any<F, Fut>(f: F) -> axum::routing::MethodRouter
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    axum::routing::any(f)
}

/// What stands between the network and a service's handlers.
struct Front {
    gate: Gate,
    style: Style,
    micro: Option<Microversions>,
}

impl Front {
    async fn serve<S>(&self, route: &Route<S>, state: Arc<S>, request: Request) -> Response {
        let asked = Asked::of(&request);
        let (mut parts, body) = request.into_parts();
        let body = lingering(body);
        let micro = self.micro.map(|m| m.of(&parts.headers)).transpose();
        // Where none was agreed upon, none is told.
        let agreed = micro.as_ref().ok().copied().flatten();
        let base = self.base(&parts.headers, &parts.extensions);
        let outcome = async {
            let auth = self.admit(route.rule, &mut parts, &base).await?;
            same_project(&parts, &auth)?;
            let version = micro?.unwrap_or_default();
            if version < route.from || version > route.until {
                return Err(Fault::not_found("The resource could not be found in this microversion."));
            }
            let req = make_req(parts, body, auth, asked.id.clone(), base.clone(), version).await;
            req.check_text()?;
            (route.handler)(state, req).await
        }
        .await;
        let mut response = match outcome {
            Ok(reply) => Response::from(reply),
            Err(fault) => self.error(&fault, &base, &asked),
        };
        self.stamp(&mut response, &asked.id, agreed);
        response
    }

    async fn admit(&self, rule: Rule, parts: &mut Parts, base: &str) -> Result<Arc<Auth>> {
        if rule == Rule::Open {
            return Ok(Arc::new(Auth::nobody()));
        }
        if !parts.headers.contains_key(TOKEN) {
            // From here on as if the browser had sent the token itself.
            let token = self.gate.authority.session(parts, base).await?.ok_or_else(Fault::unauthorized)?;
            parts.headers.insert(TOKEN, HeaderValue::from_str(&token).map_err(Fault::internal)?);
        }
        let token = parts.headers.get(TOKEN).and_then(|t| t.to_str().ok()).ok_or_else(Fault::unauthorized)?;
        let auth = self.gate.authority.admit(token, &parts.method, parts.uri.path()).await?;
        rule.check(&auth)?;
        Ok(auth)
    }

    fn base(&self, headers: &HeaderMap, extensions: &Extensions) -> String {
        if let Some(url) = &self.gate.public_url {
            return url.clone();
        }
        let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("localhost");
        // A Host goes into links, so it may hold nothing but an authority.
        let sane = host.len() <= AUTHORITY
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
        let secure = extensions.get::<Channel>().is_some_and(|c| c.secure);
        let scheme = if secure { "https" } else { "http" };
        format!("{scheme}://{}", if sane { host } else { "localhost" })
    }

    fn refuse(&self, request: Request, fault: Fault) -> Response {
        let asked = Asked::of(&request);
        let base = self.base(request.headers(), request.extensions());
        let mut response = self.error(&fault, &base, &asked);
        self.stamp(&mut response, &asked.id, None);
        response
    }

    fn error(&self, fault: &Fault, base: &str, asked: &Asked) -> Response {
        let Asked { id: request_id, global_id: global_request_id, place } = asked;
        let status = self.style.status(fault.kind);
        if fault.kind == Kind::Unavailable {
            // It passes, and who asked is told to come back.
            tracing::warn!(request_id, global_request_id, place, %fault, "request put off");
        } else if status >= 500 && fault.kind != Kind::NotImplemented {
            tracing::error!(request_id, global_request_id, place, %fault, "request failed");
        } else {
            tracing::debug!(request_id, global_request_id, place, status, %fault, "request refused");
        }
        let (kind, body) = self.style.body(fault, request_id);
        let mut reply = Reply::text(status, kind, body);
        if status == 401 {
            reply = reply.header("www-authenticate", &format!("Keystone uri=\"{base}/identity\""));
        }
        if matches!(status, 413 | 503) {
            reply = reply.header("retry-after", if status == 503 { "1" } else { "0" });
        }
        if let Some(extra) = &fault.header {
            reply = reply.header(extra.0, &extra.1);
        }
        Response::from(reply)
    }

    fn stamp(&self, response: &mut Response, request_id: &str, version: Option<Version>) {
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(request_id) {
            if self.style == Style::Compute {
                headers.insert(HeaderName::from_static("x-compute-request-id"), id.clone());
            }
            headers.insert(REQUEST_ID, id);
        }
        if let (Some(m), Some(version)) = (self.micro, version) {
            m.tell(version, headers);
        }
    }
}

/// # Errors
/// 400 when the address names a project that is not the token's.
fn same_project(parts: &Parts, auth: &Auth) -> Result<()> {
    let Some(ProjectInUrl(named)) = parts.extensions.get::<ProjectInUrl>() else { return Ok(()) };
    let own = auth.project().map(ToString::to_string).unwrap_or_default();
    if *named == own {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "Malformed request URL: URL's project_id '{named}' doesn't match Context's project_id '{own}'"
    )))
}

/// A request as the log names it.
struct Asked {
    /// `req-<uuid>`, made by us.
    id: String,
    /// The same form, made by who asks: what this is a part of, in the logs of others too. The log says it beside
    /// ours, and nothing is decided by it.
    global_id: Option<String>,
    place: String,
}

impl Asked {
    fn of(request: &Request) -> Asked {
        Asked {
            id: format!("req-{}", uuid::Uuid::new_v4()),
            global_id: global_id(request.headers()),
            place: format!("{} {}", request.method(), request.uri().path()),
        }
    }
}

/// Anything else than `req-` and a UUID in its usual form is as good as nothing.
fn global_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let uuid = id.strip_prefix("req-").filter(|u| u.len() == 36)?;
    uuid::Uuid::try_parse(uuid).is_ok().then(|| id.to_owned())
}

async fn make_req(
    mut parts: Parts,
    body: axum::body::Body,
    auth: Arc<Auth>,
    request_id: String,
    base: String,
    version: Version,
) -> Req {
    let params = match RawPathParams::from_request_parts(&mut parts, &()).await {
        Ok(p) => p.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        Err(_) => Vec::new(),
    };
    let upgrade = if parts.headers.contains_key(header::UPGRADE) {
        WebSocketUpgrade::from_request_parts(&mut parts, &()).await.ok()
    } else {
        None
    };
    Req {
        peer: parts.extensions.get::<Channel>().and_then(|c| c.peer.clone()),
        secure: parts.extensions.get::<Channel>().is_some_and(|c| c.secure),
        query: Query::parse(parts.uri.query()),
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        auth,
        request_id,
        base,
        version,
        params,
        body: std::sync::Mutex::new(body),
        upgrade,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Nobody;

    impl Authority for Nobody {
        fn verify<'a>(
            &'a self,
            _token: &'a str,
        ) -> Pin<Box<dyn Future<Output = Result<Arc<Auth>>> + Send + 'a>> {
            Box::pin(std::future::ready(Err(Fault::unauthorized())))
        }
    }

    /// A route that fails, behind the router.
    async fn ask(headers: &[(&str, &str)]) -> Response {
        let mut s = Service::new("/compute", Style::Compute);
        s.microversions(Microversions {
            service: "compute",
            legacy_header: Some("x-openstack-nova-api-version"),
            min: Version(2, 1),
            max: Version(2, 96),
        });
        s.get("/v2.1", Rule::Open, |_: Arc<()>, _| std::future::ready(Err(Fault::bad_request("No."))));
        let gate = Gate { authority: Arc::new(Nobody), public_url: None };
        let mut request = Request::builder().uri("/compute/v2.1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        s.router(Arc::new(()), &gate).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_version_is_told_where_one_was_agreed_upon() {
        let told = ["openstack-api-version", "x-openstack-nova-api-version", "vary"];
        for (asked, status) in [("compute 2.999", 406), ("compute two", 400)] {
            let answer = ask(&[("openstack-api-version", asked)]).await;
            assert_eq!(answer.status(), status);
            assert!(told.iter().all(|name| !answer.headers().contains_key(*name)), "{answer:?}");
        }
        let answer = ask(&[("openstack-api-version", "compute 2.60")]).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(told.map(|name| answer.headers()[name].to_str().unwrap())[..2], ["compute 2.60", "2.60"]);
    }

    /// What is logged, as text.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_log_names_the_request_that_this_one_is_a_part_of() {
        let theirs = "req-4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1";
        for (sent, known) in [
            (theirs, true),
            ("4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1", false),
            ("req-4ac8f5f46d0e4a449d360d2e6a44b1a1", false),
            ("req-{4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1}", false),
            ("req-nonsense global_request_id=forged", false),
        ] {
            let log = Log::default();
            let to = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::DEBUG)
                .with_ansi(false)
                .with_writer(move || to.clone())
                .finish();
            let listening = tracing::subscriber::set_default(subscriber);
            let answer = ask(&[("x-openstack-request-id", sent)]).await;
            drop(listening);
            let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            let ours = answer.headers()["x-openstack-request-id"].to_str().unwrap();
            assert_ne!(ours, sent);
            assert!(text.contains(&format!("request_id=\"{ours}\"")), "{text}");
            assert_eq!(text.contains(&format!("global_request_id=\"{theirs}\"")), known, "{text}");
            assert_eq!(text.contains("global_request_id"), known, "{text}");
        }
    }

    #[test]
    fn links_are_made_from_a_host_that_may_be_one() {
        let gate = Gate { authority: Arc::new(Nobody), public_url: None };
        let front = Front { gate, style: Style::Hanok, micro: None };
        let long = |n: usize| "a".repeat(n);
        for (host, base) in [
            ("cloud.example:5240", "http://cloud.example:5240".to_owned()),
            ("[2001:db8::1]:5240", "http://[2001:db8::1]:5240".to_owned()),
            (&long(261), format!("http://{}", long(261))),
            (&long(262), "http://localhost".to_owned()),
            (&long(60_000), "http://localhost".to_owned()),
            ("a/b", "http://localhost".to_owned()),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            assert_eq!(front.base(&headers, &Extensions::new()), base, "{} characters", host.len());
        }
    }
}
