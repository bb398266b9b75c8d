//! Lists: filters that are validated, `fields`, sorting, and pages in both directions.
//!
//! Everything happens in one SELECT; a page begins after its marker by comparing the sort columns with
//! those of the marker's row, so a page costs the same wherever it is.

use crate::act::Caller;
use crate::err;
use ::api::{Page, Query};
use base::{Fault, Kind, Micros, Result};
use serde_json::Value;
use store::{Row, Sql, Tx};

/// How a query parameter picks rows. Columns by which lists are sorted are never null: a page could not begin after
/// what compares with nothing.
#[derive(Clone, Copy)]
pub enum How {
    /// A text column; one that may be null counts as empty then.
    Text(&'static str),
    Bool(&'static str),
    Int(&'static str),
    /// A time, to the second.
    Time(&'static str),
    /// A time or later; nothing to sort by.
    Since(&'static str),
    /// Something that is the same for every row.
    Always(&'static str),
    /// `shared`: whether the thing is shared with the asking project.
    Shared,
    /// A condition of its own.
    With(fn(&mut Sql, &[&str]) -> Result<()>),
    /// What only admins are shown. Asked by others it fits nothing and sorts nothing, or they could guess at it.
    Admins(&'static How),
}

/// What a noun can be filtered by.
pub type Filters = &'static [(&'static str, How)];

/// Filters of every noun.
pub const COMMON: Filters = &[
    ("id", How::Text("t.id")),
    ("project_id", How::Text("t.project_id")),
    ("tenant_id", How::Text("t.project_id")),
    ("description", How::Text("t.description")),
    ("revision_number", How::Int("t.revision")),
    ("created_at", How::Time("t.created_at")),
    ("updated_at", How::Time("t.updated_at")),
    ("changed_since", How::Since("t.updated_at")),
    ("tags", How::With(|q, v| tags(q, v, "=", true))),
    ("tags-any", How::With(|q, v| tags(q, v, ">", false))),
    ("not-tags", How::With(|q, v| tags(q, v, "<", true))),
    ("not-tags-any", How::With(|q, v| tags(q, v, "=", false))),
];

const WORDS: &[&str] = &["fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"];

/// A list as asked for, checked.
pub struct Plan {
    filters: Vec<(How, Vec<String>)>,
    pub page: Page,
    pub reverse: bool,
    /// Ends with the id.
    sorts: Vec<Sort>,
    pub fields: Vec<String>,
    caller: Caller,
}

/// A column to sort by.
#[derive(Clone, Copy)]
struct Sort {
    column: &'static str,
    descends: bool,
    /// Whether it holds numbers, for the types of a marker's values.
    number: bool,
}

fn lookup(own: Filters, name: &str) -> Option<How> {
    own.iter().chain(COMMON).find(|(n, _)| *n == name).map(|(_, how)| *how)
}

impl Plan {
    /// # Errors
    /// 400 for a filter or sort key that the noun does not have.
    pub fn parse(q: &Query, own: Filters, caller: &Caller) -> Result<Plan> {
        let mut filters: Vec<(How, Vec<String>)> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for (name, value) in &q.0 {
            if WORDS.contains(&name.as_str()) {
                continue;
            }
            let how = lookup(own, name)
                .ok_or_else(|| err::invalid(format!("['{name}'] is invalid attribute for filtering")))?;
            match names.iter().position(|n| n == name) {
                Some(i) => filters[i].1.push(value.clone()),
                None => {
                    names.push(name);
                    filters.push((how, vec![value.clone()]));
                }
            }
        }
        let mut page = Page::parse(q, None, usize::MAX >> 2)?;
        page.limit = page.limit.filter(|l| *l > 0);
        Ok(Plan {
            filters,
            page,
            reverse: q.bool("page_reverse")?.unwrap_or(false),
            sorts: sorts(q, own, caller)?,
            caller: caller.clone(),
            fields: q.all("fields").filter(|f| !f.is_empty()).map(str::to_owned).collect(),
        })
    }

    /// The rows of the page, in the order to show.
    pub fn rows<T>(
        &self,
        tx: &Tx<'_>,
        table: &str,
        cols: &str,
        visible: impl FnOnce(&mut Sql),
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut seen = Sql::new("");
        visible(&mut seen);
        let mut q = Sql::new(&format!("SELECT {cols} FROM {table} t WHERE 1 = 1"));
        q.add(&seen);
        for (how, values) in &self.filters {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            apply(&mut q, *how, &values, &self.caller)?;
        }
        if let Some(marker) = &self.page.marker {
            self.after(tx, table, marker, &seen, &mut q)?;
        }
        for (i, sort) in self.sorts.iter().enumerate() {
            let way = if sort.descends != self.reverse { " DESC" } else { "" };
            q.push(if i == 0 { " ORDER BY " } else { ", " }).push(sort.column).push(way);
        }
        if let Some(limit) = self.page.limit {
            q.limit(limit);
        }
        let mut rows = q.rows(tx, read)?;
        if self.reverse {
            rows.reverse();
        }
        Ok(rows)
    }

    /// Adds the condition for rows that come after the marker: greater in the first sort column, or equal
    /// in it and greater in the next, and so on. What the caller does not see is no marker either.
    fn after(&self, tx: &Tx<'_>, table: &str, marker: &str, seen: &Sql, q: &mut Sql) -> Result<()> {
        let cols: Vec<String> = self.sorts.iter().map(|s| format!("CAST({} AS TEXT)", s.column)).collect();
        let mut of_marker = Sql::new(&format!("SELECT {} FROM {table} t WHERE t.id = ", cols.join(", ")));
        of_marker.bind(marker).add(seen);
        let n = cols.len();
        let row = of_marker.opt(tx, |r| (0..n).map(|i| r.get::<String>(i)).collect::<Result<Vec<_>>>())?;
        let row = row.ok_or_else(|| {
            Fault::new(Kind::NotFound, format!("Marker {marker} could not be found.")).tag("MarkerNotFound")
        })?;
        q.push(" AND (");
        for i in 0..n {
            q.push(if i == 0 { "(" } else { " OR (" });
            for (j, sort) in self.sorts.iter().enumerate().take(i + 1) {
                let op = match (j == i, sort.descends != self.reverse) {
                    (false, _) => " = ",
                    (true, false) => " > ",
                    (true, true) => " < ",
                };
                q.push(if j == 0 { "" } else { " AND " }).push(sort.column).push(op);
                match (sort.number, row[j].parse::<i64>()) {
                    (true, Ok(number)) => q.bind(number),
                    _ => q.bind(row[j].as_str()),
                };
            }
            q.push(")");
        }
        q.push(")");
        Ok(())
    }

    /// The links to the pages beside this one, as Neutron gives them: a next page is promised whenever
    /// this one is full.
    pub fn links(&self, base: &str, path: &str, q: &Query, ids: &[String]) -> Option<Value> {
        let limit = self.page.limit?;
        let full = ids.len() >= limit;
        let mut links = Vec::new();
        let href = |marker: Option<&String>, back: bool| {
            let link = api::page::next_href(base, path, q, marker.map_or("", String::as_str));
            let link =
                if marker.is_none() { link.replace("&marker=", "").replace("?marker=", "?") } else { link };
            if back { format!("{link}&page_reverse=True") } else { link }
        };
        if full || self.reverse {
            links.push(serde_json::json!({"rel": "next", "href": href(ids.last(), false)}));
        }
        if full || !self.reverse {
            links.push(serde_json::json!({"rel": "previous", "href": href(ids.first(), true)}));
        }
        Some(Value::Array(links))
    }
}

fn sorts(q: &Query, own: Filters, caller: &Caller) -> Result<Vec<Sort>> {
    let shown = |how: How| match how {
        How::Admins(how) if caller.admin => Some(*how),
        How::Admins(_) => None,
        how => Some(how),
    };
    let named = |name: &str| match lookup(own, name).and_then(shown) {
        Some(How::Text(column)) => Some((column, false)),
        Some(How::Bool(column) | How::Int(column) | How::Time(column)) => Some((column, true)),
        _ => None,
    };
    let allowed: Vec<&str> =
        own.iter().chain(COMMON).map(|(n, _)| *n).filter(|n| named(n).is_some()).collect();
    let mut out: Vec<Sort> = Vec::new();
    for s in api::page::sorts(q, &allowed)? {
        if let Some((column, number)) =
            named(&s.key).filter(|(column, _)| !out.iter().any(|o| o.column == *column))
        {
            out.push(Sort { column, descends: s.descending, number });
        }
    }
    if out.is_empty() {
        out.push(Sort { column: "t.created_at", descends: false, number: true });
    }
    if !out.iter().any(|s| s.column == "t.id") {
        let descends = out.last().is_some_and(|s| s.descends);
        out.push(Sort { column: "t.id", descends, number: false });
    }
    Ok(out)
}

fn apply(q: &mut Sql, how: How, values: &[&str], caller: &Caller) -> Result<()> {
    match how {
        How::Text(col) => match values {
            [one] => drop(q.and(&format!("{col} ="), *one)),
            many => drop(q.and_in(col, many.iter().copied())),
        },
        How::Int(col) => {
            let numbers = values.iter().map(|v| {
                v.parse::<i64>().map_err(|_| {
                    err::invalid(format!("'{v}' is not an integer, so nothing can be filtered by it."))
                })
            });
            q.and_in(col, numbers.collect::<Result<Vec<_>>>()?);
        }
        How::Bool(col) => {
            q.and_in(col, bools(values)?);
        }
        How::Time(col) => second(q, col, values)?,
        How::Since(col) => {
            if let Some(text) = values.first() {
                q.and(&format!("{col} >="), time(text)?);
            }
        }
        How::Shared => {
            q.push(" AND (SELECT COUNT(*) FROM rbac_policy r WHERE r.object_id = t.id AND r.action = 'access_as_shared'");
            q.push(" AND r.target IN ('*', ").bind(&caller.project.0).push("))");
            q.push(match bools(values)?.as_slice() {
                [0, ..] => " = 0",
                _ => " > 0",
            });
        }
        How::Always(text) => {
            if !values.iter().any(|v| v.eq_ignore_ascii_case(text)) {
                q.push(" AND 1 = 0");
            }
        }
        How::With(f) => f(q, values)?,
        How::Admins(how) if caller.admin => apply(q, *how, values, caller)?,
        How::Admins(_) => drop(q.push(" AND 1 = 0")),
    }
    Ok(())
}

/// The values of a filter as 0 and 1.
pub fn bools(values: &[&str]) -> Result<Vec<i64>> {
    let one = |v: &&str| match v.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "t" => Ok(1_i64),
        "false" | "0" | "no" | "f" => Ok(0),
        _ => Err(err::invalid(format!("'{v}' is neither true nor false, so nothing can be filtered by it."))),
    };
    values.iter().map(one).collect()
}

fn time(text: &str) -> Result<Micros> {
    Micros::parse(text)
        .ok_or_else(|| err::invalid(format!("'{text}' is not a time such as 2026-11-20T22:05:58Z.")))
}

/// Times are shown in whole seconds, so a second is what equals.
fn second(q: &mut Sql, col: &str, values: &[&str]) -> Result<()> {
    let Some(text) = values.first() else { return Ok(()) };
    let from = time(text)?;
    let from = Micros(from.0 - from.0.rem_euclid(1_000_000));
    q.and(&format!("{col} >="), from).and(&format!("{col} <"), Micros(from.0 + 1_000_000));
    Ok(())
}

/// How many of the tags a resource has, compared with all of them or with none.
fn tags(q: &mut Sql, values: &[&str], op: &str, all: bool) -> Result<()> {
    let mut tags: Vec<&str> = values.iter().flat_map(|v| v.split(',')).filter(|t| !t.is_empty()).collect();
    tags.sort_unstable();
    tags.dedup();
    q.push(" AND (SELECT COUNT(*) FROM network_tag g WHERE g.resource_id = t.id AND g.tag IN (");
    q.list(tags.iter().copied());
    q.push(")) ").push(op).push(" ");
    q.bind(if all { i64::try_from(tags.len()).unwrap_or(0) } else { 0 });
    Ok(())
}

/// Leaves only the fields asked for.
pub fn prune(value: &mut Value, fields: &[String]) {
    if let Value::Object(map) = value
        && !fields.is_empty()
    {
        map.retain(|k, _| fields.iter().any(|f| f == k));
    }
}
