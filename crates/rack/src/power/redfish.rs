//! DMTF Redfish (DSP0266): the handful of calls that power needs, found by following links from the root.
//!
//! A session (`X-Auth-Token`) is kept while there is something to do and deleted afterwards; BMCs
//! without sessions are asked with the password each time.

use super::http::{Answer, Http};
use super::quirks::{self, Quirks};
use super::trouble::Trouble;
use base::doc::rack::{Bmc, BootFrom};
use base64::Engine;
use http::{Method, StatusCode, Uri, header};
use serde_json::{Value, json};

const ROOT: &str = "/redfish/v1/";

pub(super) struct Redfish {
    http: Result<Http, String>,
    url: String,
    user: String,
    password: String,
    system: String,
    found: Option<Found>,
    session: Option<Session>,
}

/// What the root and the list of systems said.
#[derive(Debug, Clone)]
struct Found {
    /// Where sessions are made, if the BMC has any.
    sessions: Option<String>,
    system: String,
}

struct Session {
    token: String,
    /// Where it is deleted.
    location: Option<String>,
}

impl Redfish {
    /// `None` for what is no Redfish.
    pub fn new(bmc: &Bmc) -> Option<Redfish> {
        let Bmc::Redfish { url, user, password, system, fingerprint } = bmc else { return None };
        let http = tls::pinned(fingerprint).map(|config| Http::new(tls::Dialer::to_named(config)));
        Some(Redfish {
            http: http.map_err(|fault| fault.message),
            url: url.trim_end_matches('/').trim_end_matches("/redfish/v1").to_owned(),
            user: user.clone(),
            password: password.clone(),
            system: system.clone(),
            found: None,
            session: None,
        })
    }

    pub fn quirks(&self) -> Quirks {
        quirks::USUAL
    }

    pub async fn read(&mut self) -> Result<bool, Trouble> {
        let system = self.look().await?;
        match system["PowerState"].as_str() {
            // Until it has arrived at the other state it is in the one before.
            Some("On" | "PoweringOff" | "Paused") => Ok(true),
            Some("Off" | "PoweringOn") => Ok(false),
            other => Err(self.unable(&format!("does not tell whether the machine is on ({other:?})"))),
        }
    }

    pub async fn on(&mut self) -> Result<(), Trouble> {
        self.reset(&["On", "ForceOn"], "switch the machine on").await
    }

    pub async fn off(&mut self) -> Result<(), Trouble> {
        self.reset(&["ForceOff"], "switch the machine off").await
    }

    pub async fn soft(&mut self) -> Result<(), Trouble> {
        self.reset(&["GracefulShutdown"], "ask the machine to shut down").await
    }

    /// The first of `kinds` that the system allows (DSP0268, ComputerSystem.Reset).
    async fn reset(&mut self, kinds: &[&str], what: &str) -> Result<(), Trouble> {
        let system = self.look().await?;
        let action = &system["Actions"]["#ComputerSystem.Reset"];
        let target = action["target"].as_str();
        let target =
            target.map_or_else(|| format!("{}/Actions/ComputerSystem.Reset", self.path()), str::to_owned);
        let allowed = self.allowed(action).await?;
        let kind = match &allowed {
            Some(allowed) => kinds.iter().find(|k| allowed.iter().any(|a| a == *k)),
            None => kinds.first(),
        };
        let Some(kind) = kind else {
            let who = self.who();
            return Err(Trouble::Unknown(format!("{who} does not know how to {what}.")));
        };
        let answer = self.ask(Method::POST, &target, None, Some(&json!({"ResetType": kind}))).await?;
        self.good(&answer, what).map(drop)
    }

    /// Values of `ResetType` that are allowed, from the action itself or its `ActionInfo`.
    async fn allowed(&mut self, action: &Value) -> Result<Option<Vec<String>>, Trouble> {
        let strings = |v: &Value| -> Option<Vec<String>> {
            Some(v.as_array()?.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect())
        };
        if let Some(list) = strings(&action["ResetType@Redfish.AllowableValues"]) {
            return Ok(Some(list));
        }
        let Some(info) = action["@Redfish.ActionInfo"].as_str().map(str::to_owned) else { return Ok(None) };
        let info = self.get(&info, "say how the machine can be switched").await?;
        let mut parameters = info["Parameters"].as_array().into_iter().flatten();
        Ok(parameters.find(|p| p["Name"] == "ResetType").and_then(|p| strings(&p["AllowableValues"])))
    }

    /// Sets the boot override that is good once.
    pub async fn boot(&mut self, from: BootFrom, efi: bool) -> Result<(), Trouble> {
        let system = self.look().await?;
        let boot = &system["Boot"];
        let allowed = boot["BootSourceOverrideTarget@Redfish.AllowableValues"].as_array();
        let may = |target: &str| allowed.is_none_or(|all| all.iter().any(|a| a == target));
        let target = match from {
            BootFrom::Unset => return Ok(()),
            BootFrom::Network if !may("Pxe") && may("UefiHttp") => "UefiHttp",
            BootFrom::Network => "Pxe",
            BootFrom::Disk => "Hdd",
        };
        let what = "set where the machine boots from";
        let plain = json!({"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": "Once"});
        let etag = system["@odata.etag"].as_str().map(str::to_owned);
        // Where the mode is wrong it is set along; not every BMC lets it be.
        if efi && boot["BootSourceOverrideMode"].as_str().is_some_and(|mode| mode != "UEFI") {
            let mut both = plain.clone();
            both["BootSourceOverrideMode"] = json!("UEFI");
            let answer = self.patch(etag.as_deref(), &json!({ "Boot": both })).await?;
            if self.good(&answer, what).is_ok() {
                return Ok(());
            }
        }
        let answer = self.patch(etag.as_deref(), &json!({ "Boot": plain })).await?;
        self.good(&answer, what).map(drop)
    }

    async fn patch(&mut self, etag: Option<&str>, body: &Value) -> Result<Answer, Trouble> {
        let path = self.path();
        let answer = self.ask(Method::PATCH, &path, etag, Some(body)).await?;
        // Some change the tag with every reading of the clock.
        if answer.status == StatusCode::PRECONDITION_FAILED && etag.is_some() {
            return self.ask(Method::PATCH, &path, Some("*"), Some(body)).await;
        }
        Ok(answer)
    }

    /// Gives the session back.
    pub async fn rest(&mut self) {
        if let Some(location) = self.session.as_ref().and_then(|s| s.location.clone()) {
            let _ = self.ask_once(Method::DELETE, &location, None, None).await;
        }
        self.session = None;
        if let Ok(http) = &mut self.http {
            http.rest();
        }
    }

    fn path(&self) -> String {
        self.found.as_ref().map(|f| f.system.clone()).unwrap_or_default()
    }

    /// The system as it is now.
    async fn look(&mut self) -> Result<Value, Trouble> {
        if self.found.is_none() {
            // What was found of it half way is no way to the machine.
            let found = self.find().await;
            self.found = found.as_ref().ok().cloned();
            found?;
        }
        let path = self.path();
        let system = self.get(&path, "describe the machine").await;
        if matches!(system, Err(Trouble::Unable(_))) {
            // It may have been renumbered.
            self.found = None;
        }
        system
    }

    async fn find(&mut self) -> Result<Found, Trouble> {
        let answer = self.ask_once(Method::GET, ROOT, None, None).await?;
        let root = self.good(&answer, "show what it can")?;
        let link = |v: &Value| v["@odata.id"].as_str().map(str::to_owned);
        let sessions = link(&root["Links"]["Sessions"]);
        let list = link(&root["Systems"]).ok_or_else(|| self.unable("has no systems; is this Redfish?"))?;
        self.found = Some(Found { sessions: sessions.clone(), system: String::new() });
        let members = self.get(&list, "list its systems").await?;
        let members: Vec<String> =
            members["Members"].as_array().into_iter().flatten().filter_map(link).collect();
        let wanted = self.system.trim_end_matches('/');
        let mut fits = members.iter().map(|m| m.trim_end_matches('/')).filter(|m| {
            wanted.is_empty() || *m == wanted || m.rsplit('/').next().is_some_and(|id| id == wanted)
        });
        match (fits.next(), fits.next()) {
            (Some(one), None) => Ok(Found { sessions, system: one.to_owned() }),
            (None, _) => Err(self.unable(&format!("has no system {wanted:?}, but {}", names(&members)))),
            (Some(_), Some(_)) => Err(self.unable(&format!(
                "has {} systems ({}): say which one is meant",
                members.len(),
                names(&members)
            ))),
        }
    }

    async fn get(&mut self, path: &str, what: &str) -> Result<Value, Trouble> {
        let answer = self.ask(Method::GET, path, None, None).await?;
        self.good(&answer, what)
    }

    /// One question, with a session or the password. A session that has ended is made anew once.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        etag: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, Trouble> {
        let fresh = self.session.is_none();
        if fresh {
            self.log_in().await?;
        }
        let answer = self.ask_once(method.clone(), path, etag, body).await?;
        if answer.status != StatusCode::UNAUTHORIZED || fresh || self.session.is_none() {
            return Ok(answer);
        }
        self.session = None;
        self.log_in().await?;
        self.ask_once(method, path, etag, body).await
    }

    /// Makes a session where there are any (DSP0266, 13.3.4).
    async fn log_in(&mut self) -> Result<(), Trouble> {
        let Some(path) = self.found.as_ref().and_then(|f| f.sessions.clone()) else { return Ok(()) };
        let wish = json!({"UserName": self.user, "Password": self.password});
        let answer = self.ask_once(Method::POST, &path, None, Some(&wish)).await?;
        let text = |name: &str| answer.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        match (answer.status, text("x-auth-token")) {
            (s, Some(token)) if s.is_success() => {
                let location = text("location").and_then(|l| path_of(&l));
                self.session = Some(Session { token, location });
                Ok(())
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST, _) => {
                Err(self.refused())
            }
            (StatusCode::SERVICE_UNAVAILABLE, _) => {
                Err(self.unable("has no session left; it frees those that are idle after a while"))
            }
            // The password goes with every question then.
            _ => {
                if let Some(found) = &mut self.found {
                    found.sessions = None;
                }
                Ok(())
            }
        }
    }

    async fn ask_once(
        &self,
        method: Method,
        path: &str,
        etag: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, Trouble> {
        let http = self.http.as_ref().map_err(|why| Trouble::Unable(why.clone()))?;
        let url: Uri = format!("{}{path}", self.url)
            .parse()
            .map_err(|_| Trouble::Unable(format!("{:?} is no URL of a Redfish service.", self.url)))?;
        let basic =
            base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", self.user, self.password));
        let basic = format!("Basic {basic}");
        let mut headers = vec![("odata-version", "4.0")];
        match &self.session {
            Some(session) => headers.push(("x-auth-token", session.token.as_str())),
            // The root and the place where sessions are made are open to all.
            None if path == ROOT || body.is_some_and(|b| b.get("Password").is_some()) => {}
            None => headers.push((header::AUTHORIZATION.as_str(), basic.as_str())),
        }
        if let Some(etag) = etag {
            headers.push((header::IF_MATCH.as_str(), etag));
        }
        http.call(&self.who(), method, &url, &headers, body).await
    }

    /// The body of an answer that is good, else why it is not, in the BMC's words.
    fn good(&self, answer: &Answer, what: &str) -> Result<Value, Trouble> {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match answer.status {
            s if s.is_success() => Ok(body),
            StatusCode::UNAUTHORIZED => Err(self.refused()),
            StatusCode::FORBIDDEN => Err(Trouble::Refused(format!(
                "{} does not let user {} {what}; make it an operator there.",
                self.who(),
                self.user
            ))),
            s => {
                let error = &body["error"];
                let said =
                    error["@Message.ExtendedInfo"][0]["Message"].as_str().or(error["message"].as_str());
                let said: String = said.unwrap_or_default().chars().take(200).collect();
                let said = said.trim_end_matches('.');
                Err(self.unable(format!("did not {what} ({s}): {said}").trim_end_matches(": ")))
            }
        }
    }

    fn who(&self) -> String {
        format!("The BMC {}", self.url)
    }

    fn unable(&self, what: &str) -> Trouble {
        Trouble::Unable(format!("{} {what}.", self.who()))
    }

    fn refused(&self) -> Trouble {
        Trouble::Refused(format!("{} refuses the password of user {}.", self.who(), self.user))
    }
}

fn names(members: &[String]) -> String {
    let names =
        members.iter().take(8).map(|m| m.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(", ")
}

/// The path of a whole URL, or what is one already.
fn path_of(location: &str) -> Option<String> {
    let url: Uri = location.parse().ok()?;
    Some(url.path_and_query()?.as_str().to_owned())
}
