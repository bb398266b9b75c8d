//! The five verbs, alike for every noun: list, create (also several at once), show, update, delete.
//!
//! Invariants: an update or delete holds its row from the first statement on, so `If-Match` and what is
//! read of it stay true; whoever does not see a resource gets 404, whoever sees it and may not touch it
//! gets 403.

use super::agent::SILENCE;
use super::list::{Filters, Plan, prune};
use super::{bytes, caller, fields, tag};
use crate::act::{Caller, home};
use crate::model::Std;
use crate::{Network, err, table};
use ::api::{Obj, Reply, Req};
use base::{Fault, PortId, Result, RouterId};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use store::{Row, Sql, Tx, log};

/// By which router, and where to.
pub type Way = (RouterId, PortId, Option<IpAddr>);

/// What makes a kind of resource different from the others.
pub trait Noun: 'static {
    /// As in bodies: `network`, `networks`.
    const ONE: &'static str;
    const MANY: &'static str;
    const TABLE: &'static str;
    const COLS: &'static str;
    const FILTERS: Filters;
    /// Whether `PUT` exists.
    const CHANGES: bool = true;
    type Row: Send;
    type View: Serialize;
    type New: Send + 'static;
    type Change: Send + 'static;

    fn read(r: &Row<'_>) -> Result<Self::Row>;
    fn id(row: &Self::Row) -> String;
    fn std(row: &Self::Row) -> &Std;
    fn missing(id: &str) -> Fault;
    /// What people call it.
    fn label(row: &Self::Row) -> String {
        Self::std(row).name.clone()
    }
    /// Adds the condition for rows that a caller who is no admin sees.
    fn seen(q: &mut Sql, project: &str);
    fn views(tx: &Tx<'_>, caller: &Caller, rows: Vec<Self::Row>) -> Result<Vec<Self::View>>;
    /// # Errors
    /// 404 when it is not there, or not for the caller to see.
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Self::Row>;
    fn parse_new(o: &Obj, caller: &Caller) -> Result<Self::New>;
    fn create(tx: &Tx<'_>, caller: &Caller, new: Self::New) -> Result<Self::Row>;
    fn parse_change(o: &Obj, caller: &Caller) -> Result<Self::Change>;
    fn update(tx: &Tx<'_>, caller: &Caller, row: Self::Row, change: Self::Change) -> Result<()>;
    fn delete(tx: &Tx<'_>, caller: &Caller, row: Self::Row) -> Result<()>;
    /// Where it leads, if it does not before the home of a router knows of it.
    fn way(_row: &Self::Row) -> Option<Way> {
        None
    }
    /// Whether a caller who sees the resource may do this to it (`update`, `delete`, …).
    fn may_change(_tx: &Tx<'_>, caller: &Caller, row: &Self::Row, _verb: &str) -> Result<bool> {
        Ok(caller.owns(&Self::std(row).project))
    }
    /// What has to be there before a list of a project is made (the default security group).
    fn before_list(_tx: &Tx<'_>, _caller: &Caller) -> Result<bool> {
        Ok(true)
    }
    fn make_before_list(_tx: &Tx<'_>, _caller: &Caller) -> Result<()> {
        Ok(())
    }
}

pub async fn list<N: Noun>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let caller = caller(&req)?;
    let plan = Plan::parse(&req.query, N::FILTERS, &caller)?;
    let who = caller.clone();
    if !net.db.read(move |tx| N::before_list(tx, &who)).await? {
        let who = caller.clone();
        net.db.write(move |tx| N::make_before_list(tx, &who)).await?;
    }
    let body = net.db.read(move |tx| {
        let seen = |q: &mut Sql| {
            if !caller.admin {
                N::seen(q, &caller.project.0);
            }
        };
        let rows = plan.rows(tx, N::TABLE, N::COLS, seen, N::read)?;
        let ids: Vec<String> =
            if plan.page.limit.is_some() { rows.iter().map(N::id).collect() } else { Vec::new() };
        let views = N::views(tx, &caller, rows)?;
        let mut out = format!("{{\"{}\":", N::MANY).into_bytes();
        if plan.fields.is_empty() {
            serde_json::to_writer(&mut out, &views)?;
        } else {
            let mut values = serde_json::to_value(&views)?;
            values.as_array_mut().into_iter().flatten().for_each(|v| prune(v, &plan.fields));
            serde_json::to_writer(&mut out, &values)?;
        }
        if let Some(links) = plan.links(&req.base, req.uri.path(), &req.query, &ids) {
            out.extend_from_slice(format!(",\"{}_links\":{links}", N::MANY).as_bytes());
        }
        out.push(b'}');
        Ok(out)
    });
    Ok(bytes(200, body.await?))
}

/// `{"network": …}` with the fields asked for.
fn one<N: Noun>(tx: &Tx<'_>, caller: &Caller, row: N::Row, only: &[String]) -> Result<Vec<u8>> {
    let view = N::views(tx, caller, vec![row])?.pop();
    let mut value = serde_json::to_value(&view)?;
    prune(&mut value, only);
    Ok(serde_json::to_vec(&serde_json::json!({N::ONE: value}))?)
}

pub async fn show<N: Noun>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let caller = caller(&req)?;
    let id = req.text_param("id").trim_end_matches(".json").to_owned();
    let only: Vec<String> = req.query.all("fields").map(str::to_owned).collect();
    let body = net.db.read(move |tx| {
        let row = N::find(tx, &caller, &id)?;
        one::<N>(tx, &caller, row, &only)
    });
    Ok(bytes(200, body.await?))
}

pub async fn create<N: Noun>(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    let caller = caller(&req)?;
    let who = req.who();
    let body = req.json().await?;
    let bulk = body.has(N::MANY);
    let objects: Vec<Obj> = if bulk {
        let list = body.opt_list(N::MANY)?.cloned().unwrap_or_default();
        if list.is_empty() {
            return Err(Fault::bad_request(format!("Resources required: '{}' is empty.", N::MANY)));
        }
        list.into_iter().map(Obj::root).collect::<Result<_>>()?
    } else {
        vec![body.inner(N::ONE)?]
    };
    let mut news = Vec::new();
    for o in &objects {
        news.push((N::parse_new(o, &caller)?, tag::parse(o)?));
    }
    let answer = net.db.write(move |tx| {
        let mut rows = Vec::new();
        for (new, tags) in news {
            let row = N::create(tx, &caller, new)?;
            let id = N::id(&row);
            for t in &tags {
                table::add_tag(tx, &id, t)?;
            }
            log::audit(tx, &who, &format!("{}.create", N::ONE), &id)?;
            rows.push(row);
        }
        let routers: Vec<RouterId> = rows.iter().filter_map(N::way).map(|way| way.0).collect();
        if bulk {
            let views = N::views(tx, &caller, rows)?;
            return Ok((serde_json::to_vec(&serde_json::json!({N::MANY: views}))?, routers));
        }
        let row = rows.pop().ok_or_else(|| Fault::internal("nothing was made"))?;
        Ok((one::<N>(tx, &caller, row, &[])?, routers))
    });
    let (body, routers) = answer.await?;
    home::heard(&net.db, routers, SILENCE).await;
    Ok(bytes(201, body))
}

/// Holds a resource for change: it is there, the caller may, and `If-Match` is true of it.
pub fn held<N: Noun>(
    tx: &Tx<'_>,
    caller: &Caller,
    id: &str,
    expected: Option<i64>,
    verb: &str,
) -> Result<N::Row> {
    if !table::hold(tx, N::TABLE, id)? {
        return Err(N::missing(id));
    }
    let row = N::find(tx, caller, id)?;
    if !N::may_change(tx, caller, &row, verb)? {
        return Err(err::policy(&format!("{verb}_{}", N::ONE)));
    }
    match expected {
        Some(n) if n != N::std(&row).revision => Err(err::stale(n)),
        _ => Ok(row),
    }
}

pub async fn update<N: Noun>(net: Arc<Network>, mut req: Req) -> Result<Reply> {
    if !N::CHANGES {
        return Err(Fault::new(base::Kind::MethodNotAllowed, format!("A {} cannot be changed.", N::ONE)));
    }
    let caller = caller(&req)?;
    let (who, expected) = (req.who(), fields::if_match(&req)?);
    let id = req.text_param("id").to_owned();
    let o = req.json().await?.inner(N::ONE)?;
    let change = N::parse_change(&o, &caller)?;
    let answer = net.db.write(move |tx| {
        let row = held::<N>(tx, &caller, &id, expected, "update")?;
        let before = N::way(&row);
        N::update(tx, &caller, row, change)?;
        table::bump(tx, N::TABLE, &id)?;
        log::audit(tx, &who, &format!("{}.update", N::ONE), &id)?;
        let row = N::find(tx, &caller, &id)?;
        let after = N::way(&row);
        let ways = if before == after { [None, None] } else { [before, after] };
        Ok((one::<N>(tx, &caller, row, &[])?, ways))
    });
    let (body, ways) = answer.await?;
    home::heard(&net.db, ways.into_iter().flatten().map(|way| way.0).collect(), SILENCE).await;
    Ok(bytes(200, body))
}

pub async fn delete<N: Noun>(net: Arc<Network>, req: Req) -> Result<Reply> {
    let caller = caller(&req)?;
    let (who, expected) = (req.who(), fields::if_match(&req)?);
    let id = req.text_param("id").to_owned();
    net.db
        .write(move |tx| {
            let row = held::<N>(tx, &caller, &id, expected, "delete")?;
            let label = N::label(&row);
            N::delete(tx, &caller, row)?;
            log::audit_named(tx, &who, &format!("{}.delete", N::ONE), &id, Some(&label))
        })
        .await?;
    Ok(Reply::empty(204))
}
