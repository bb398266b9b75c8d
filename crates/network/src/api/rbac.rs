//! `/v2.0/rbac-policies`

use super::list::{Filters, How};
use super::noun::Noun;
use super::{Common, fields};
use crate::act::{self, Caller};
use crate::model::{Rbac, Std};
use crate::{err, table};
use ::api::Obj;
use base::{Fault, Result};
use serde::Serialize;
use store::{Row, Sql, Tx};

pub struct Policies;

#[derive(Serialize)]
pub struct View {
    id: String,
    object_type: String,
    object_id: String,
    action: String,
    target_tenant: String,
    #[serde(flatten)]
    common: Common,
}

fn target(o: &Obj) -> Result<Option<String>> {
    match (o.opt_str("target_tenant", fields::TEXT)?, o.opt_str("target_project", fields::TEXT)?) {
        (Some(t), _) | (None, Some(t)) if t.is_empty() => {
            Err(err::invalid("Invalid input for target_tenant. Reason: it is empty; say a project or *."))
        }
        (given, other) => Ok(given.or(other)),
    }
}

impl Noun for Policies {
    const ONE: &'static str = "rbac_policy";
    const MANY: &'static str = "rbac_policies";
    const TABLE: &'static str = "rbac_policy";
    const COLS: &'static str = table::rbac::COLS;
    const FILTERS: Filters = &[
        ("object_type", How::Text("t.object_type")),
        ("object_id", How::Text("t.object_id")),
        ("action", How::Text("t.action")),
        ("target_tenant", How::Text("t.target")),
        ("target_project", How::Text("t.target")),
    ];
    type Row = Rbac;
    type View = View;
    type New = act::rbac::New;
    type Change = Option<String>;

    fn read(r: &Row<'_>) -> Result<Rbac> {
        table::rbac::read(r)
    }
    fn id(row: &Rbac) -> String {
        row.id.to_string()
    }
    fn std(row: &Rbac) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_rbac(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        q.and("t.project_id =", project);
    }
    fn views(tx: &Tx<'_>, _caller: &Caller, rows: Vec<Rbac>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|p| p.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let view = |(p, id): (Rbac, String)| View {
            common: Common::new(&p.std, tags.remove(&id)),
            object_type: p.kind,
            object_id: p.object,
            action: p.action,
            target_tenant: p.target,
            id,
        };
        Ok(rows.into_iter().zip(ids).map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Rbac> {
        act::rbac::visible(tx, caller, id.parse().map_err(|_| err::no_rbac(id))?)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<act::rbac::New> {
        let known = ["object_type", "object_id", "action", "target_tenant", "target_project"];
        fields::only(o, &known, "POST")?;
        Ok(act::rbac::New {
            kind: o.str("object_type", fields::TEXT)?,
            object: o.str("object_id", fields::TEXT)?,
            action: o.str("action", fields::TEXT)?,
            target: target(o)?.ok_or_else(|| {
                Fault::bad_request("'target_tenant' is required: a project, or * for all of them.")
            })?,
            project: fields::project(o, caller)?,
            description: fields::text(o, "description")?,
        })
    }
    fn create(tx: &Tx<'_>, caller: &Caller, new: act::rbac::New) -> Result<Rbac> {
        act::rbac::create(tx, caller, &new)
    }
    fn parse_change(o: &Obj, _caller: &Caller) -> Result<Option<String>> {
        o.only(&["target_tenant", "target_project"])?;
        target(o)
    }
    fn update(tx: &Tx<'_>, caller: &Caller, p: Rbac, to: Option<String>) -> Result<()> {
        to.map_or(Ok(()), |t| act::rbac::retarget(tx, caller, &p, &t))
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, p: Rbac) -> Result<()> {
        act::rbac::delete(tx, &p)
    }
}
