//! `/v2.0/security-groups`

use super::list::{Filters, How};
use super::noun::Noun;
use super::{Common, fields, rule};
use crate::act::{self, Caller};
use crate::model::{Group, Rule, Std};
use crate::{err, table, touch};
use ::api::Obj;
use base::{Fault, ProjectId, Result, SecurityGroupId};
use serde::Serialize;
use std::collections::HashMap;
use store::{Row, Sql, Tx, params};

pub struct Groups;

#[derive(Serialize)]
pub struct View {
    id: String,
    name: String,
    stateful: bool,
    shared: bool,
    security_group_rules: Vec<rule::View>,
    #[serde(flatten)]
    common: Common,
}

pub struct New {
    project: ProjectId,
    name: String,
    description: String,
    stateful: bool,
}

pub struct Change {
    name: Option<String>,
    description: Option<String>,
    stateful: Option<bool>,
}

impl Noun for Groups {
    const ONE: &'static str = "security_group";
    const MANY: &'static str = "security_groups";
    const TABLE: &'static str = "security_group";
    const COLS: &'static str = table::group::COLS;
    const FILTERS: Filters =
        &[("name", How::Text("t.name")), ("stateful", How::Bool("t.stateful")), ("shared", How::Shared)];
    type Row = Group;
    type View = View;
    type New = New;
    type Change = Change;

    fn read(r: &Row<'_>) -> Result<Group> {
        table::group::read(r)
    }
    fn id(row: &Group) -> String {
        row.id.to_string()
    }
    fn std(row: &Group) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_group(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        table::rbac::seen(q, "security_group", project);
    }
    fn views(tx: &Tx<'_>, caller: &Caller, rows: Vec<Group>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|g| g.id.to_string()).collect();
        let groups: Vec<SecurityGroupId> = rows.iter().map(|g| g.id).collect();
        let mut by_group: HashMap<SecurityGroupId, Vec<Rule>> = HashMap::new();
        for r in table::group::rules_of(tx, &groups)? {
            by_group.entry(r.group).or_default().push(r);
        }
        let mut tags = table::tags(tx, &ids)?;
        let shared = table::rbac::shared(tx, &ids, &caller.project)?;
        let mut out = Vec::new();
        for (g, id) in rows.into_iter().zip(ids) {
            let rules = by_group.remove(&g.id).unwrap_or_default();
            out.push(View {
                name: g.std.name.clone(),
                stateful: g.stateful,
                shared: shared.contains(&id),
                security_group_rules: rule::Rules::views(tx, caller, rules)?,
                common: Common::new(&g.std, tags.remove(&id)),
                id,
            });
        }
        Ok(out)
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<Group> {
        act::group::visible(tx, caller, id.parse().map_err(|_| err::no_group(id))?)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<New> {
        fields::only(o, &["stateful"], "POST")?;
        Ok(New {
            project: fields::project(o, caller)?,
            name: fields::text(o, "name")?,
            description: fields::text(o, "description")?,
            stateful: o.opt_bool("stateful")?.unwrap_or(true),
        })
    }
    fn create(tx: &Tx<'_>, _caller: &Caller, n: New) -> Result<Group> {
        act::group::create(tx, &n.project, &n.name, &n.description, n.stateful)
    }
    fn parse_change(o: &Obj, _caller: &Caller) -> Result<Change> {
        fields::only(o, &["stateful"], "PUT")?;
        Ok(Change {
            name: o.opt_str("name", fields::TEXT)?,
            description: o.opt_str("description", fields::TEXT)?,
            stateful: o.opt_bool("stateful")?,
        })
    }
    fn update(tx: &Tx<'_>, _caller: &Caller, mut g: Group, c: Change) -> Result<()> {
        let name = c.name.unwrap_or(g.std.name.clone());
        if g.std.name == "default" && name != "default" {
            return Err(err::conflict(
                "SecurityGroupCannotUpdateDefault",
                "Updating default security group not allowed.",
            ));
        }
        if name == "default" && g.std.name != "default" {
            return Err(err::conflict(
                "SecurityGroupDefaultAlreadyExists",
                "Default security group already exists.",
            ));
        }
        g.std.name = name;
        g.std.description = c.description.unwrap_or(g.std.description);
        if let Some(stateful) = c.stateful.filter(|s| *s != g.stateful) {
            let used = "SELECT 1 FROM port_security_group WHERE group_id = $1 LIMIT 1";
            if tx.opt(used, params![g.id], |_| Ok(()))?.is_some() {
                return Err(err::conflict(
                    "SecurityGroupInUse",
                    format!("Security Group {} in use: stateful can change only while no port has it.", g.id),
                ));
            }
            g.stateful = stateful;
            touch::group(tx, g.id)?;
        }
        table::group::update(tx, &g)
    }
    fn delete(tx: &Tx<'_>, caller: &Caller, g: Group) -> Result<()> {
        act::group::delete(tx, caller, &g)
    }
    fn before_list(tx: &Tx<'_>, caller: &Caller) -> Result<bool> {
        Ok(caller.project.0.is_empty() || !table::group::by_name(tx, &caller.project, "default")?.is_empty())
    }
    fn make_before_list(tx: &Tx<'_>, caller: &Caller) -> Result<()> {
        act::group::default_of(tx, &caller.project).map(drop)
    }
}
