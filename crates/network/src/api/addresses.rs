//! `/v2.0/address-groups`

use super::list::{Filters, How};
use super::noun::{Noun, held};
use super::{Common, bytes, caller, fields};
use crate::act::{Caller, addresses};
use crate::model::{AddressGroup, Std, parse_net};
use crate::{Network, err, table};
use ::api::{Obj, Reply, Req};
use base::{AddressGroupId, Fault, Result};
use ipnet::IpNet;
use serde::Serialize;
use std::sync::Arc;
use store::{Row, Sql, Tx, log};

pub struct AddressGroups;

#[derive(Serialize)]
pub struct View {
    id: String,
    name: String,
    addresses: Vec<String>,
    shared: bool,
    #[serde(flatten)]
    common: Common,
}

pub struct Change {
    name: Option<String>,
    description: Option<String>,
    shared: Option<bool>,
}

/// Prefixes (a lone address is one of itself), each once.
fn parse(o: &Obj) -> Result<Option<Vec<IpNet>>> {
    const F: &str = "addresses";
    let list = fields::each(o, F, |v| {
        let net = v.as_str().and_then(|t| parse_net(t.trim()));
        net.map(|n| n.trunc()).ok_or_else(|| {
            err::invalid(format!("Invalid input for {F}. Reason: {v} is not a valid IP subnet."))
        })
    })?;
    let Some(mut list) = list else { return Ok(None) };
    list.sort();
    list.dedup();
    Ok(Some(list))
}

impl Noun for AddressGroups {
    const ONE: &'static str = "address_group";
    const MANY: &'static str = "address_groups";
    const TABLE: &'static str = "address_group";
    const COLS: &'static str = table::addresses::COLS;
    const FILTERS: Filters = &[("name", How::Text("t.name")), ("shared", How::Shared)];
    type Row = AddressGroup;
    type View = View;
    type New = addresses::New;
    type Change = Change;

    fn read(r: &Row<'_>) -> Result<AddressGroup> {
        table::addresses::read(r)
    }
    fn id(row: &AddressGroup) -> String {
        row.id.to_string()
    }
    fn std(row: &AddressGroup) -> &Std {
        &row.std
    }
    fn missing(id: &str) -> Fault {
        err::no_addresses(id)
    }
    fn seen(q: &mut Sql, project: &str) {
        table::rbac::seen(q, "address_group", project);
    }
    fn views(tx: &Tx<'_>, caller: &Caller, rows: Vec<AddressGroup>) -> Result<Vec<View>> {
        let ids: Vec<String> = rows.iter().map(|g| g.id.to_string()).collect();
        let mut tags = table::tags(tx, &ids)?;
        let shared = table::rbac::shared(tx, &ids, &caller.project)?;
        let groups: Vec<AddressGroupId> = rows.iter().map(|g| g.id).collect();
        let mut all = table::addresses::of(tx, &groups)?;
        let view = |(g, id): (AddressGroup, String)| View {
            name: g.std.name.clone(),
            addresses: all.remove(&g.id).unwrap_or_default().iter().map(IpNet::to_string).collect(),
            shared: shared.contains(&id),
            common: Common::new(&g.std, tags.remove(&id)),
            id,
        };
        Ok(rows.into_iter().zip(ids.clone()).map(view).collect())
    }
    fn find(tx: &Tx<'_>, caller: &Caller, id: &str) -> Result<AddressGroup> {
        addresses::visible(tx, caller, id.parse().map_err(|_| err::no_addresses(id))?)
    }
    fn parse_new(o: &Obj, caller: &Caller) -> Result<addresses::New> {
        fields::only(o, &["addresses", "shared"], "POST")?;
        fields::admin_only(o, caller, &["shared"], "create")?;
        Ok(addresses::New {
            project: fields::project(o, caller)?,
            name: fields::text(o, "name")?,
            description: fields::text(o, "description")?,
            addresses: parse(o)?.unwrap_or_default(),
            shared: o.opt_bool("shared")?.unwrap_or(false),
        })
    }
    fn create(tx: &Tx<'_>, _caller: &Caller, new: addresses::New) -> Result<AddressGroup> {
        addresses::create(tx, &new)
    }
    fn parse_change(o: &Obj, caller: &Caller) -> Result<Change> {
        fields::only(o, &["shared"], "PUT")?;
        if !caller.admin && o.has("shared") {
            return Err(err::policy("update_address_group:shared"));
        }
        Ok(Change {
            name: o.opt_str("name", fields::TEXT)?,
            description: o.opt_str("description", fields::TEXT)?,
            shared: o.opt_bool("shared")?,
        })
    }
    fn update(tx: &Tx<'_>, _caller: &Caller, mut g: AddressGroup, c: Change) -> Result<()> {
        g.std.name = c.name.unwrap_or(g.std.name);
        g.std.description = c.description.unwrap_or(g.std.description);
        if let Some(on) = c.shared {
            addresses::share(tx, &g, on)?;
        }
        table::addresses::update(tx, &g)
    }
    fn delete(tx: &Tx<'_>, _caller: &Caller, g: AddressGroup) -> Result<()> {
        addresses::delete(tx, &g)
    }
}

async fn change(
    net: &Network,
    mut req: Req,
    verb: &'static str,
    f: impl FnOnce(&Tx<'_>, &AddressGroup, &[IpNet]) -> Result<()> + Send + 'static,
) -> Result<Reply> {
    let (caller, who, expected) = (caller(&req)?, req.who(), fields::if_match(&req)?);
    let id = req.text_param("id").to_owned();
    let body = req.json().await?;
    // Clients send the list bare or inside the resource.
    let o = body.opt_inner("address_group")?.unwrap_or(body);
    let list = parse(&o)?.filter(|l| !l.is_empty());
    let list = list.ok_or_else(|| Fault::bad_request("'addresses' is required: a list of prefixes."))?;
    let answer = net.db.write(move |tx| {
        let g = held::<AddressGroups>(tx, &caller, &id, expected, verb)?;
        f(tx, &g, &list)?;
        table::bump(tx, "address_group", &id)?;
        log::audit(tx, &who, &format!("address_group.{verb}"), &id)?;
        let g = AddressGroups::find(tx, &caller, &id)?;
        let view = AddressGroups::views(tx, &caller, vec![g])?.pop();
        Ok(serde_json::to_vec(&serde_json::json!({"address_group": view}))?)
    });
    Ok(bytes(200, answer.await?))
}

pub async fn add(net: Arc<Network>, req: Req) -> Result<Reply> {
    change(&net, req, "add_addresses", addresses::add).await
}

pub async fn remove(net: Arc<Network>, req: Req) -> Result<Reply> {
    change(&net, req, "remove_addresses", addresses::remove).await
}
