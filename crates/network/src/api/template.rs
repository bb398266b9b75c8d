//! `/v2.0/default-security-group-rules`: the rules that new security groups begin with. Everybody reads
//! them, admins make and delete them; groups that are there stay as they are.

use super::list::{Filters, How};
use super::noun::Noun;
use super::{Common, rule};
use crate::act::{self, Caller, group::NewRule};
use crate::model::{Std, Template};
use crate::table::template::PARENT;
use crate::{err, table};
use ::api::Obj;
use base::{AddressGroupId, Fault, Result, SecurityGroupId};
use serde::Serialize;
use store::{Row, Sql, Tx};

pub struct Templates;

#[derive(Serialize)]
pub struct View {
    id: String,
    direction: &'static str,
    ethertype: &'static str,
    protocol: Option<String>,
    port_range_min: Option<u16>,
    port_range_max: Option<u16>,
    remote_ip_prefix: Option<String>,
    remote_group_id: Option<String>,
    remote_address_group_id: Option<AddressGroupId>,
    used_in_default_sg: bool,
    used_in_non_default_sg: bool,
    #[serde(flatten)]
    common: Common,
}

pub struct New {
    rule: NewRule,
    from_itself: bool,
    in_default: bool,
    in_others: bool,
}

impl Noun for Templates {
    const ONE: &'static str = "default_security_group_rule";
    const MANY: &'static str = "default_security_group_rules";
    const TABLE: &'static str = "default_security_group_rule";
    const COLS: &'static str = table::template::COLS;
    const CHANGES: bool = false;
    const FILTERS: Filters = &[
        ("direction", How::Text("t.direction")),
        ("ethertype", How::Text("t.ethertype")),
        ("protocol", How::Text("t.protocol")),
        ("port_range_min", How::Int("t.port_min")),
        ("port_range_max", How::Int("t.port_max")),
        ("remote_ip_prefix", How::Text("t.remote_prefix")),
        ("remote_group_id", How::Text("t.remote_group_id")),
        ("remote_address_group_id", How::Text("t.remote_address_group_id")),
        ("used_in_default_sg", How::Bool("t.in_default")),
        ("used_in_non_default_sg", How::Bool("t.in_others")),
    ];
    type Row = Template;
    type View = View;
    type New = New;
    type Change = ();

    fn read(r: &Row<'_>) -> Result<Template> {
        table::template::read(r)
    }
    fn id(row: &Template) -> String {
        row.rule.id.to_string()
    }
    fn std(row: &Template) -> &Std {
        &row.rule.std
    }
    fn missing(id: &str) -> Fault {
        err::no_template(id)
    }
    fn seen(_q: &mut Sql, _project: &str) {}
    fn views(tx: &Tx<'_>, _caller: &Caller, rows: Vec<Template>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|t| t.rule.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let view = |(t, id): (Template, String)| View {
            direction: if t.rule.ingress { "ingress" } else { "egress" },
            ethertype: if t.rule.v6 { "IPv6" } else { "IPv4" },
            port_range_min: t.rule.min,
            port_range_max: t.rule.max,
            remote_group_id: if t.from_itself {
                Some(PARENT.to_owned())
            } else {
                t.rule.remote_group.map(|g| g.to_string())
            },
            remote_address_group_id: t.rule.remote_addresses,
            used_in_default_sg: t.in_default,
            used_in_non_default_sg: t.in_others,
            common: Common::new(&t.rule.std, tags.remove(&id)),
            remote_ip_prefix: t.rule.remote_prefix,
            protocol: Some(t.rule.protocol).filter(|p| !p.is_empty()),
            id,
        };
        Ok(rows.into_iter().zip(ids).map(view).collect())
    }
    fn find(tx: &Tx<'_>, _caller: &Caller, id: &str) -> Result<Template> {
        let missing = || err::no_template(id);
        table::template::by_id(tx, id.parse().map_err(|_| missing())?)?.ok_or_else(missing)
    }
    fn may_change(_tx: &Tx<'_>, caller: &Caller, _row: &Template, _verb: &str) -> Result<bool> {
        Ok(caller.admin)
    }
    fn parse_new(o: &Obj, _caller: &Caller) -> Result<New> {
        let mut plain = Obj { name: o.name.clone(), map: o.map.clone() };
        let from_itself = plain.map.get("remote_group_id").is_some_and(|v| v == PARENT);
        if from_itself {
            plain.map.remove("remote_group_id");
        }
        plain.map.remove("used_in_default_sg");
        plain.map.remove("used_in_non_default_sg");
        let rule = rule::parse(&plain, SecurityGroupId::nil())?;
        if from_itself && (rule.remote_prefix.is_some() || rule.remote_addresses.is_some()) {
            return Err(rule::one_remote());
        }
        Ok(New {
            rule,
            from_itself,
            in_default: o.opt_bool("used_in_default_sg")?.unwrap_or(false),
            in_others: o.opt_bool("used_in_non_default_sg")?.unwrap_or(true),
        })
    }
    fn create(tx: &Tx<'_>, caller: &Caller, new: New) -> Result<Template> {
        act::group::check_remotes(tx, caller, &new.rule)?;
        let t = Template {
            rule: act::group::rule(&new.rule, &base::ProjectId(String::new())),
            from_itself: new.from_itself,
            in_default: new.in_default,
            in_others: new.in_others,
        };
        if !table::template::insert(tx, &t)? {
            return Err(err::conflict(
                "DefaultSecurityGroupRuleExists",
                "Default Security group rule already exists.",
            ));
        }
        Ok(t)
    }
    fn parse_change(_o: &Obj, _caller: &Caller) -> Result<()> {
        Ok(())
    }
    fn update(_tx: &Tx<'_>, _caller: &Caller, _row: Template, (): ()) -> Result<()> {
        Ok(())
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, t: Template) -> Result<()> {
        table::delete(tx, "default_security_group_rule", &t.rule.id.to_string()).map(drop)
    }
}
