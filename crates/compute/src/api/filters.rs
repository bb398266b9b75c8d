//! Which servers a list shows: the query, read by one table of filters with who may use each from which
//! microversion on. What somebody may not filter by is ignored, as the API has it; what no filter is, is
//! refused from 2.75.

use super::at;
use crate::status::meant_by;
use crate::table::server_list::Filter;
use api::Req;
use base::{Fault, Micros, Result};

/// How a filter's text is compared.
#[derive(Clone, Copy)]
enum How {
    Text(&'static str),
    Number(&'static str),
    Yes(&'static str),
    /// To the second.
    Time(&'static str),
    Pattern(&'static str),
    Host,
    Zone,
    /// Read elsewhere in this file, or known and without effect here.
    Other,
}
use How::{Host, Number, Other, Pattern, Text, Time, Yes, Zone};

/// Everybody, from the first microversion on.
const ALL: u16 = 1;
/// Everybody from 2.83 on, administrators always.
const LATE: u16 = 83;
const ADMIN: u16 = u16::MAX;

/// (name, from which microversion 2.x everybody may, how)
const FILTERS: &[(&str, u16, How)] = &[
    ("access_ip_v4", ADMIN, Text("access_ipv4")),
    ("access_ip_v6", ADMIN, Text("access_ipv6")),
    ("all_tenants", ALL, Other),
    ("auto_disk_config", ADMIN, Text("disk_config")),
    ("availability_zone", LATE, Zone),
    ("block_device_mapping", ADMIN, Other),
    ("changes-before", ALL, Other),
    ("changes-since", ALL, Other),
    ("config_drive", LATE, Yes("config_drive")),
    ("created_at", LATE, Time("created_at")),
    ("deleted", ADMIN, Other),
    ("description", ADMIN, Pattern("description")),
    ("display_description", ADMIN, Pattern("description")),
    ("display_name", ADMIN, Pattern("name")),
    ("flavor", ALL, Text("flavor_id")),
    ("host", ADMIN, Host),
    ("hostname", 90, Pattern("hostname")),
    ("image", ALL, Text("image_id")),
    ("image_ref", ADMIN, Text("image_id")),
    ("instance_name", ADMIN, Other),
    ("ip", ALL, Other),
    ("ip6", 5, Other),
    ("kernel_id", ADMIN, Other),
    ("key_name", LATE, Text("key_name")),
    ("launch_index", ADMIN, Number("launch_index")),
    ("launched_at", LATE, Time("launched_at")),
    ("limit", ALL, Other),
    ("locked", ALL, Other),
    ("locked_by", ADMIN, Other),
    ("marker", ALL, Other),
    ("name", ALL, Pattern("name")),
    ("node", ADMIN, Host),
    ("not-tags", ALL, Other),
    ("not-tags-any", ALL, Other),
    ("power_state", LATE, Number("power_state")),
    ("progress", LATE, Number("progress")),
    ("project_id", ADMIN, Other),
    ("ramdisk_id", ADMIN, Other),
    ("reservation_id", ALL, Text("reservation_id")),
    ("root_device_name", ADMIN, Other),
    ("services", ADMIN, Other),
    ("soft_deleted", ADMIN, Other),
    ("sort_dir", ALL, Other),
    ("sort_key", ALL, Other),
    ("status", ALL, Other),
    ("tags", ALL, Other),
    ("tags-any", ALL, Other),
    ("task_state", LATE, Text("task_state")),
    ("tenant_id", ADMIN, Other),
    ("terminated_at", LATE, Time("terminated_at")),
    ("user_id", LATE, Text("user_id")),
    ("uuid", ADMIN, Text("id")),
    ("vm_state", LATE, Text("vm_state")),
];

/// # Errors
/// 400 for a value that is none, from 2.75 for a filter that is none; 403 for what only administrators list.
pub fn filter(req: &Req) -> Result<Filter> {
    let (q, admin) = (&req.query, req.auth.is_admin());
    super::only_query(req, &FILTERS.iter().map(|(n, _, _)| *n).collect::<Vec<_>>())?;
    let mut f = Filter { project: whose(req)?, ..Filter::default() };
    changes(req, &mut f)?;
    if admin && let Some(deleted) = q.bool("deleted")? {
        f.deleted = Some(deleted);
    }
    f.soft_deleted = admin && q.bool("soft_deleted")?.unwrap_or(false);
    statuses(req, &mut f)?;
    for (name, from, how) in FILTERS {
        if let Some(text) = q.get(name).filter(|_| admin || at(req, *from)) {
            add(&mut f, name, *how, text)?;
        }
    }
    if at(req, 73)
        && let Some(locked) = q.bool("locked")?
    {
        f.equal_number.push(("locked", locked.into()));
    }
    f.addresses.extend(q.get("ip").map(|p| (p.to_owned(), 4)));
    f.addresses.extend(q.get("ip6").filter(|_| admin || at(req, 5)).map(|p| (p.to_owned(), 6)));
    if at(req, 26) {
        f.tags_all = commas(req, "tags");
        f.tags_any = commas(req, "tags-any");
        f.not_tags_all = commas(req, "not-tags");
        f.not_tags_any = commas(req, "not-tags-any");
    }
    Ok(f)
}

fn add(f: &mut Filter, name: &str, how: How, text: &str) -> Result<()> {
    match how {
        // A reference may be the whole link.
        Text(column) => f.equal.push((column, text.rsplit('/').next().unwrap_or(text).to_owned())),
        Number(column) => f.equal_number.push((column, text.parse().map_err(|_| bad_value(name, text))?)),
        Yes(column) => {
            let yes =
                !text.is_empty() && !["false", "0", "no", "off", "f", "n"].contains(&&*text.to_lowercase());
            f.equal_number.push((column, yes.into()));
        }
        Time(column) => {
            let time = Micros::parse(&text.replace(' ', "+")).ok_or_else(|| bad_value(name, text))?;
            f.at_second.push((column, time));
        }
        Pattern(column) => f.patterns.push((column, text.to_owned())),
        Host => f.host_name = Some(text.to_owned()),
        Zone => f.zone = Some(text.to_owned()),
        Other => {}
    }
    Ok(())
}

fn changes(req: &Req, f: &mut Filter) -> Result<()> {
    f.changed_since = time(req, "changes-since")?;
    f.changed_before = if at(req, 66) { time(req, "changes-before")? } else { None };
    if let (Some(since), Some(before)) = (f.changed_since, f.changed_before)
        && since > before
    {
        return Err(Fault::bad_request(
            "The value of changes-since must be less than or equal to changes-before.",
        ));
    }
    // Who asks for changes wants to hear of deletions.
    f.deleted = if f.changed_since.is_some() || f.changed_before.is_some() { None } else { Some(false) };
    Ok(())
}

/// Whose servers: everybody's only for an admin who asks for it.
fn whose(req: &Req) -> Result<Option<base::ProjectId>> {
    let q = &req.query;
    let all = q.bool("all_tenants")?.unwrap_or(false) || q.bool("all_projects")?.unwrap_or(false);
    if all && !req.auth.is_admin() {
        return Err(Fault::forbidden(
            "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.",
        ));
    }
    // Without all_tenants a named project counts for nothing, as the API has it.
    if all && let Some(project) = q.get("project_id").or(q.get("tenant_id")) {
        return Ok(Some(project.into()));
    }
    req.auth.list_project(all)
}

fn statuses(req: &Req, f: &mut Filter) -> Result<()> {
    for text in req.query.all("status") {
        if text.eq_ignore_ascii_case("deleted") {
            if !req.auth.is_admin() {
                return Err(Fault::forbidden("Only administrators may list deleted instances"));
            }
            f.deleted = Some(true);
            continue;
        }
        match meant_by(text) {
            Some(meant) => f.states.extend(meant),
            None if at(req, 38) => return Err(bad_value("status", text)),
            None => {}
        }
    }
    f.nothing = req.query.has("status") && f.states.is_empty() && f.deleted != Some(true);
    Ok(())
}

fn bad_value(name: &str, value: &str) -> Fault {
    Fault::bad_request(format!("Invalid filter value: {name} = {value}"))
}

/// A time in the query.
///
/// # Errors
/// 400 when it is none.
pub fn time(req: &Req, name: &str) -> Result<Option<Micros>> {
    let Some(text) = req.query.get(name) else { return Ok(None) };
    // A plus sign in a query reads as a blank.
    let time = Micros::parse(&text.replace(' ', "+"));
    time.map(Some).ok_or_else(|| {
        Fault::bad_request(format!(
            "Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'"
        ))
    })
}

fn commas(req: &Req, name: &str) -> Vec<String> {
    req.query.all(name).flat_map(|v| v.split(',')).filter(|t| !t.is_empty()).map(str::to_owned).collect()
}
