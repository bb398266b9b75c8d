//! What was asked of a server and how it ended.

use super::filters::time;
use super::{at, next_links, no_server, only_query, server_id};
use crate::Compute;
use crate::model::Server;
use crate::table::action::{self, Action, Filter};
use crate::table::server;
use api::{Auth, Page, Reply, Req};
use base::{Fault, Micros, ProjectId, Result, ServerId};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Tx;

/// From 2.21 deleted servers answer too.
fn found(tx: &Tx<'_>, auth: &Auth, id: ServerId, deleted_too: bool) -> Result<Server> {
    let s = server::any(tx, id)?.filter(|s| deleted_too || s.deleted_at.is_none());
    s.filter(|s| auth.sees(s.project_id.as_str())).ok_or_else(|| no_server(id))
}

fn view(req: &Req, id: ServerId, a: &Action) -> Value {
    let mut v = json!({
        "instance_uuid": id, "request_id": a.request_id, "action": a.action, "user_id": a.user_id,
        "project_id": a.project_id, "start_time": a.started_at.micros_bare(), "message": a.message,
    });
    if at(req, 58) {
        v["updated_at"] = json!(a.updated_at().micros_bare());
    }
    v
}

pub async fn list(c: Arc<Compute>, req: Req) -> Result<Reply> {
    only_query(&req, &["limit", "marker", "changes-since", "changes-before"])?;
    let (id, auth, deleted) = (server_id(&req)?, req.auth.clone(), at(&req, 21));
    let page = if at(&req, 58) {
        Page::parse(&req.query, Some(1000), 1000)?
    } else {
        Page { limit: Some(1000), marker: None }
    };
    let mut f = Filter { marker: page.marker.clone(), ..Filter::default() };
    if at(&req, 58) {
        f.changed_since = time(&req, "changes-since")?;
    }
    if at(&req, 66) {
        f.changed_before = time(&req, "changes-before")?;
        if let (Some(since), Some(before)) = (f.changed_since, f.changed_before)
            && since > before
        {
            return Err(Fault::bad_request(
                "The value of changes-since must be less than or equal to changes-before.",
            ));
        }
    }
    let fetch = page.fetch();
    let all = c.db.read(move |tx| {
        found(tx, &auth, id, deleted)?;
        action::list(tx, id, &f, fetch)
    });
    let mut all = all.await?;
    let more = page.cut(&mut all);
    let views: Vec<Value> = all.iter().map(|a| view(&req, id, a)).collect();
    let mut body = json!({"instanceActions": views});
    if let Some(last) = all.last().filter(|_| more && at(&req, 58)) {
        body["links"] = next_links(&req, &last.request_id);
    }
    Ok(Reply::json(200, &body))
}

pub async fn show(c: Arc<Compute>, req: Req) -> Result<Reply> {
    let (id, auth, deleted) = (server_id(&req)?, req.auth.clone(), at(&req, 21));
    let request = req.text_param("request").to_owned();
    let a = c.db.read(move |tx| {
        let server = found(tx, &auth, id, deleted)?;
        let a = action::by_request(tx, id, &request)?;
        let missing =
            || Fault::not_found(format!("Action for request_id {request} on instance {id} not found"));
        Ok((server.project_id, a.ok_or_else(missing)?))
    });
    let (project, a) = a.await?;
    let mut v = view(&req, id, &a);
    // Everybody sees events from 2.51, admins always.
    if at(&req, 51) || req.auth.is_admin() {
        v["events"] = json!([event(&req, &project, &a)]);
    }
    Ok(Reply::json(200, &json!({"instanceAction": v})))
}

/// An action is one piece of work here, so it has one event.
fn event(req: &Req, project: &ProjectId, a: &Action) -> Value {
    let mut v = json!({
        "event": format!("compute_{}_instance", a.action),
        "start_time": a.started_at.micros_bare(),
        "finish_time": a.finished_at.map(Micros::micros_bare),
        "result": a.result,
    });
    if req.auth.is_admin() {
        v["traceback"] = Value::Null;
    }
    if at(req, 62) {
        v["hostId"] = json!(crate::view::host_digest(project.as_str(), a.host.as_deref()));
        if req.auth.is_admin() {
            v["host"] = json!(a.host);
        }
    }
    if at(req, 84) {
        v["details"] = json!(a.message);
    }
    v
}
