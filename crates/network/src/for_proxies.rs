//! Resources in the Network API's own JSON, in the caller's transaction: for the addresses under which Compute
//! showed networks, floating IPs and security groups until 2.35. The rules are those of the API itself.

use crate::act::Caller;
use crate::api::caller_of;
use crate::api::floating::Floatings;
use crate::api::group::Groups;
use crate::api::list::Plan;
use crate::api::network::Networks;
use crate::api::noun::{Noun, held};
use crate::api::port::Ports;
use crate::api::rule::Rules;
use ::api::{Auth, Obj, Query};
use base::{Fault, Result};
use serde_json::Value;
use store::{Sql, Tx, log};

/// What there is a proxy for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Network,
    FloatingIp,
    Group,
    Rule,
    Port,
}

macro_rules! of_kind {
    ($kind:expr, $f:ident ( $($arg:expr),* )) => {
        match $kind {
            Kind::Network => $f::<Networks>($($arg),*),
            Kind::FloatingIp => $f::<Floatings>($($arg),*),
            Kind::Group => $f::<Groups>($($arg),*),
            Kind::Rule => $f::<Rules>($($arg),*),
            Kind::Port => $f::<Ports>($($arg),*),
        }
    };
}

/// What the caller sees, by equality filters of the API. May write: a project's default security group is made
/// by the first look at its groups.
pub fn list(tx: &Tx<'_>, auth: &Auth, kind: Kind, filters: &[(&str, &str)]) -> Result<Vec<Value>> {
    let caller = caller_of(auth)?;
    of_kind!(kind, list_of(tx, &caller, filters))
}

/// # Errors
/// 404 for what the caller does not see.
pub fn show(tx: &Tx<'_>, auth: &Auth, kind: Kind, id: &str) -> Result<Value> {
    let caller = caller_of(auth)?;
    of_kind!(kind, show_of(tx, &caller, id))
}

pub fn create(tx: &Tx<'_>, auth: &Auth, who: &log::Who, kind: Kind, body: Value) -> Result<Value> {
    let caller = caller_of(auth)?;
    of_kind!(kind, create_of(tx, &caller, who, body))
}

pub fn update(tx: &Tx<'_>, auth: &Auth, who: &log::Who, kind: Kind, id: &str, body: Value) -> Result<Value> {
    let caller = caller_of(auth)?;
    of_kind!(kind, update_of(tx, &caller, who, id, body))
}

pub fn delete(tx: &Tx<'_>, auth: &Auth, who: &log::Who, kind: Kind, id: &str) -> Result<()> {
    let caller = caller_of(auth)?;
    of_kind!(kind, delete_of(tx, &caller, who, id))
}

fn list_of<N: Noun>(tx: &Tx<'_>, caller: &Caller, filters: &[(&str, &str)]) -> Result<Vec<Value>> {
    if !N::before_list(tx, caller)? {
        N::make_before_list(tx, caller)?;
    }
    let query = Query(filters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    let plan = Plan::parse(&query, N::FILTERS, caller)?;
    let seen = |q: &mut Sql| {
        if !caller.admin {
            N::seen(q, &caller.project.0);
        }
    };
    let rows = plan.rows(tx, N::TABLE, N::COLS, seen, N::read)?;
    N::views(tx, caller, rows)?.iter().map(|v| Ok(serde_json::to_value(v)?)).collect()
}

fn shown<N: Noun>(tx: &Tx<'_>, caller: &Caller, row: N::Row) -> Result<Value> {
    let view = N::views(tx, caller, vec![row])?.pop();
    Ok(serde_json::to_value(view.ok_or_else(|| Fault::internal("a resource without a view"))?)?)
}

fn show_of<N: Noun>(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Value> {
    shown::<N>(tx, caller, N::find(tx, caller, id)?)
}

fn create_of<N: Noun>(tx: &Tx<'_>, caller: &Caller, who: &log::Who, body: Value) -> Result<Value> {
    let new = N::parse_new(&Obj::root(body)?, caller)?;
    let row = N::create(tx, caller, new)?;
    log::audit(tx, who, &format!("{}.create", N::ONE), &N::id(&row))?;
    shown::<N>(tx, caller, row)
}

fn update_of<N: Noun>(tx: &Tx<'_>, caller: &Caller, who: &log::Who, id: &str, body: Value) -> Result<Value> {
    let change = N::parse_change(&Obj::root(body)?, caller)?;
    let row = held::<N>(tx, caller, id, None, "update")?;
    N::update(tx, caller, row, change)?;
    crate::table::bump(tx, N::TABLE, id)?;
    log::audit(tx, who, &format!("{}.update", N::ONE), id)?;
    show_of::<N>(tx, caller, id)
}

fn delete_of<N: Noun>(tx: &Tx<'_>, caller: &Caller, who: &log::Who, id: &str) -> Result<()> {
    let row = held::<N>(tx, caller, id, None, "delete")?;
    let label = N::label(&row);
    N::delete(tx, caller, row)?;
    log::audit_named(tx, who, &format!("{}.delete", N::ONE), id, Some(&label))
}
