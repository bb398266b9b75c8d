//! Lists of what is no table of its own (agents, zones, pools of floating IPs): filters, sorting, pages
//! and `fields`, as [`super::list`] has them for tables.

use super::list::prune;
use crate::err;
use ::api::{Page, Query, page};
use base::{Fault, Result};
use serde_json::Value;
use std::cmp::Ordering;

const WORDS: &[&str] = &["fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"];

fn text(v: &Value) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => text(a).cmp(&text(b)),
    }
}

/// The page that is asked for. `known` can be filtered and sorted by; `key` tells one entry from the
/// others and is what a marker names.
///
/// # Errors
/// 400 for other filters and sort keys, 404 for a marker that names nothing.
pub fn chosen(mut list: Vec<Value>, q: &Query, known: &[&str], key: &str) -> Result<Vec<Value>> {
    for name in q.0.iter().map(|(k, _)| k.as_str()).filter(|k| !WORDS.contains(k)) {
        if !known.contains(&name) {
            return Err(err::invalid(format!("['{name}'] is invalid attribute for filtering")));
        }
        let wanted: Vec<&str> = q.all(name).collect();
        list.retain(|v| wanted.iter().any(|w| w.eq_ignore_ascii_case(&text(&v[name]))));
    }
    let sorts = page::sorts(q, known)?;
    list.sort_by(|a, b| {
        let by = |s: &page::Sort| {
            let order = compare(&a[s.key.as_str()], &b[s.key.as_str()]);
            if s.descending { order.reverse() } else { order }
        };
        sorts.iter().map(by).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    });
    let page = Page::parse(q, None, usize::MAX >> 2)?;
    let back = q.bool("page_reverse")?.unwrap_or(false);
    if back {
        list.reverse();
    }
    if let Some(marker) = &page.marker {
        let at = list.iter().position(|v| text(&v[key]) == *marker).ok_or_else(|| {
            Fault::not_found(format!("Marker {marker} could not be found.")).tag("MarkerNotFound")
        })?;
        list.drain(..=at);
    }
    if let Some(limit) = page.limit.filter(|l| *l > 0) {
        list.truncate(limit);
    }
    if back {
        list.reverse();
    }
    let fields: Vec<String> = q.all("fields").filter(|f| !f.is_empty()).map(str::to_owned).collect();
    list.iter_mut().for_each(|v| prune(v, &fields));
    Ok(list)
}
