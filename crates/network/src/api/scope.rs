//! `/v2.0/address-scopes`

use super::list::{Filters, How};
use super::noun::Noun;
use super::{Common, fields};
use crate::act::{self, Caller};
use crate::model::{Scope, Std};
use crate::{err, table};
use ::api::Obj;
use base::{Fault, Result};
use serde::Serialize;
use store::{Row, Sql, Tx};

pub struct Scopes;

#[derive(Serialize)]
pub struct View {
    id: String,
    name: String,
    ip_version: u8,
    shared: bool,
    #[serde(flatten)]
    common: Common,
}

pub struct Change {
    name: Option<String>,
    description: Option<String>,
    shared: Option<bool>,
}

/// 4 or 6.
pub fn is_v6(o: &Obj) -> Result<Option<bool>> {
    match fields::int(o, "ip_version", 4, 6)? {
        Some(5) => Err(err::invalid("Invalid input for ip_version. Reason: '5' is not in [4, 6].")),
        version => Ok(version.map(|v| v == 6)),
    }
}

impl Noun for Scopes {
    const ONE: &'static str = "address_scope";
    const MANY: &'static str = "address_scopes";
    const TABLE: &'static str = "address_scope";
    const COLS: &'static str = table::scope::COLS;
    const FILTERS: Filters =
        &[("name", How::Text("t.name")), ("ip_version", How::Int("t.ip_version")), ("shared", How::Shared)];
    type Row = Scope;
    type View = View;
    type New = act::scope::New;
    type Change = Change;

    fn read(r: &Row<'_>) -> Result<Scope> {
        table::scope::read(r)
    }
    fn id(row: &Scope) -> String {
        row.id.to_string()
    }
    fn std(row: &Scope) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_scope(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        table::rbac::seen(q, "address_scope", project);
    }
    fn views(tx: &Tx<'_>, caller: &Caller, rows: Vec<Scope>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|s| s.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let shared = table::rbac::shared(tx, &ids, &caller.project)?;
        let view = |(s, id): (Scope, String)| View {
            name: s.std.name.clone(),
            ip_version: if s.v6 { 6 } else { 4 },
            shared: shared.contains(&id),
            common: Common::new(&s.std, tags.remove(&id)),
            id,
        };
        Ok(rows.into_iter().zip(ids.clone()).map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Scope> {
        act::scope::visible(tx, caller, id.parse().map_err(|_| err::no_scope(id))?)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<act::scope::New> {
        fields::only(o, &["ip_version", "shared"], "POST")?;
        fields::admin_only(o, caller, &["shared"], "create")?;
        Ok(act::scope::New {
            project: fields::project(o, caller)?,
            name: fields::text(o, "name")?,
            description: fields::text(o, "description")?,
            v6: is_v6(o)?.ok_or_else(|| Fault::bad_request("'ip_version' is required: 4 or 6, for good."))?,
            shared: o.opt_bool("shared")?.unwrap_or(false),
        })
    }
    fn create(tx: &Tx<'_>, _caller: &Caller, new: act::scope::New) -> Result<Scope> {
        act::scope::create(tx, &new)
    }
    fn parse_change(o: &Obj, caller: &Caller) -> Result<Change> {
        fields::only(o, &["shared"], "PUT")?;
        if !caller.admin && o.has("shared") {
            return Err(err::policy("update_address_scope:shared"));
        }
        Ok(Change {
            name: o.opt_str("name", fields::TEXT)?,
            description: o.opt_str("description", fields::TEXT)?,
            shared: o.opt_bool("shared")?,
        })
    }
    fn update(tx: &Tx<'_>, _caller: &Caller, mut s: Scope, c: Change) -> Result<()> {
        s.std.name = c.name.unwrap_or(s.std.name);
        s.std.description = c.description.unwrap_or(s.std.description);
        if let Some(on) = c.shared {
            act::scope::share(tx, &s, on)?;
        }
        table::scope::update(tx, &s)
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, s: Scope) -> Result<()> {
        act::scope::delete(tx, &s)
    }
}
