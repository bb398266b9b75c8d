//! The list of images: filters, sorting, pages.

use crate::model::{MemberStatus, Record, Visibility};
use crate::table::image::{COLUMNS, FROM, complete, listed_for, record, shared_with};
use crate::{Image, model::Shown};
use api::{Auth, Page, Query, Reply, Req};
use base::{Fault, ImageId, Micros, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Sql, Tx, Val};

const PAGE: usize = 25;
const LARGEST_PAGE: usize = 1000;
const SECOND: i64 = 1_000_000;

pub async fn list(image: Arc<Image>, req: Req) -> Result<Reply> {
    let page = Page::parse(&req.query, Some(PAGE), LARGEST_PAGE)?;
    let sorts = sorts(&req.query)?;
    let (auth, query, ask) = (req.auth.clone(), req.query.clone(), page.clone());
    let rows = image.db.read(move |tx| find(tx, &auth, &query, &ask, &sorts));
    let (images, more) = rows.await?;
    let mut body = Map::new();
    body.insert("images".into(), images.iter().map(Shown::view).collect());
    body.insert("schema".into(), json!("/v2/schemas/images"));
    let same = without_marker(req.uri.query());
    body.insert("first".into(), address("/v2/images", &same, None));
    if let (true, Some(last)) = (more, images.last()) {
        body.insert("next".into(), address("/v2/images", &same, Some(&last.row.id.to_string())));
    }
    Ok(Reply::json(200, &Value::Object(body)))
}

/// The query as the client wrote it, but where it begins.
pub fn without_marker(raw: Option<&str>) -> Vec<&str> {
    raw.unwrap_or("").split('&').filter(|p| !p.is_empty() && !p.starts_with("marker=")).collect()
}

/// Relative to the service, as Image has it. `marker` is one of ours.
pub fn address(path: &str, query: &[&str], marker: Option<&str>) -> Value {
    let mut parts: Vec<String> = query.iter().map(|p| (*p).to_owned()).collect();
    parts.extend(marker.map(|m| format!("marker={m}")));
    let query = if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
    Value::from(format!("{path}{query}"))
}

fn find(tx: &Tx<'_>, auth: &Auth, query: &Query, page: &Page, sorts: &[Sort]) -> Result<(Vec<Shown>, bool)> {
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM {FROM} WHERE 1 = 1"));
    audience(&mut q, auth, query)?;
    q.and("i.os_hidden =", query.bool("os_hidden")?.unwrap_or(false));
    for (key, value) in &query.0 {
        filter(&mut q, key, value)?;
    }
    if let Some(marker) = &page.marker {
        after(tx, &mut q, auth, marker, sorts)?;
    }
    let order: Vec<_> = sorts
        .iter()
        .map(|s| format!("{} {}", s.key.sql(), if s.descending { "DESC" } else { "ASC" }))
        .collect();
    q.push(&format!(" ORDER BY {}", order.join(", "))).limit(page.fetch());
    let mut rows: Vec<Record> = q.rows(tx, record)?;
    let more = page.cut(&mut rows);
    Ok((complete(tx, rows)?, more))
}

/// Whose images the caller gets to see.
fn audience(q: &mut Sql, auth: &Auth, query: &Query) -> Result<()> {
    let said = match query.get("member_status") {
        None => Some(MemberStatus::Accepted),
        Some("all") => None,
        Some(word) => Some(
            MemberStatus::of(word)
                .ok_or_else(|| unknown_word("member_status", word, &["all"], MemberStatus::WORDS))?,
        ),
    };
    let asked = match query.get("visibility") {
        None | Some("all") => None,
        Some(word) => Some(
            Visibility::of(word)
                .ok_or_else(|| unknown_word("visibility", word, &["all"], Visibility::WORDS))?,
        ),
    };
    let project = auth.project().map(|p| p.as_str()).unwrap_or_default();
    if let Some(asked) = asked {
        q.and("i.visibility =", asked.as_str());
    } else if query.get("visibility").is_none() {
        // Those of the community are found by those who look for them.
        q.push(" AND (i.visibility <> 'community' OR i.owner = ").bind(project).push(")");
    }
    if auth.is_admin() {
        return Ok(());
    }
    match asked {
        Some(Visibility::Public | Visibility::Community) => {}
        Some(Visibility::Private) => {
            q.and("i.owner =", project);
        }
        Some(Visibility::Shared) => {
            q.push(" AND (i.owner = ").bind(project).push(" OR ");
            shared_with(q, project, said);
            q.push(")");
        }
        None if query.has("visibility") => {
            q.push(" AND (i.visibility = 'community' OR (1 = 1");
            listed_for(q, project, said);
            q.push("))");
        }
        None => listed_for(q, project, said),
    }
    Ok(())
}

fn unknown_word(key: &str, word: &str, more: &[&str], words: &[&str]) -> Fault {
    let all = [words, more].concat().join(", ");
    Fault::bad_request(format!("Invalid {key} value: {word}. It is one of {all}."))
}

/// One parameter of the query. What is no attribute is a property.
fn filter(q: &mut Sql, key: &str, value: &str) -> Result<()> {
    match key {
        "limit" | "marker" | "sort" | "sort_key" | "sort_dir" | "member_status" | "visibility"
        | "os_hidden" => {}
        "id" => one_of(q, "i.id", &value.to_lowercase())?,
        "name" => one_of(q, "i.name", value)?,
        "status" => one_of(q, "i.status", value)?,
        "disk_format" => one_of(q, "i.disk_format", value)?,
        "container_format" => one_of(q, "i.container_format", value)?,
        "owner" => drop(q.and("i.owner =", value)),
        "checksum" => drop(q.and("b.md5 =", value)),
        "os_hash_value" => drop(q.and("b.sha512 =", value)),
        "os_hash_algo" => drop(q.and("CASE WHEN b.sha512 IS NULL THEN '' ELSE 'sha512' END =", value)),
        "size" => drop(q.and("b.bytes =", number(key, value)?)),
        "size_min" => drop(q.and("b.bytes >=", number(key, value)?)),
        "size_max" => drop(q.and("b.bytes <=", number(key, value)?)),
        "virtual_size" => drop(q.and("i.virtual_size =", number(key, value)?)),
        "min_ram" => drop(q.and("i.min_ram =", number(key, value)?)),
        "min_disk" => drop(q.and("i.min_disk =", number(key, value)?)),
        "protected" => {
            let yes = Query(vec![(key.into(), value.into())]).bool(key)?.unwrap_or(true);
            q.and("i.protected =", yes);
        }
        "created_at" => when(q, "i.created_at", key, value)?,
        "updated_at" => when(q, "i.updated_at", key, value)?,
        "tag" => {
            q.and("EXISTS (SELECT 1 FROM image_tag t WHERE t.image_id = i.id AND t.tag =", value).push(")");
        }
        property => {
            q.and("EXISTS (SELECT 1 FROM image_property p WHERE p.image_id = i.id AND p.name =", property);
            q.and("p.value =", value).push(")");
        }
    }
    Ok(())
}

/// `value` or `in:value,value`.
fn one_of(q: &mut Sql, column: &str, value: &str) -> Result<()> {
    match value.strip_prefix("in:") {
        Some(list) => q.and_in(column, split(list)?),
        None => q.and(&format!("{column} ="), value),
    };
    Ok(())
}

/// Values between commas; one with a comma in it stands in quotes.
fn split(list: &str) -> Result<Vec<String>> {
    let (mut all, mut one, mut quoted) = (Vec::new(), String::new(), false);
    for c in list.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut one)),
            c => one.push(c),
        }
    }
    all.push(one);
    if quoted {
        return Err(Fault::bad_request(format!("Invalid filter value {list}. The quote is not closed.")));
    }
    Ok(all)
}

fn number(key: &str, value: &str) -> Result<i64> {
    value
        .parse()
        .ok()
        .filter(|n| *n >= 0)
        .ok_or_else(|| Fault::bad_request(format!("{key}: {value:?} is not a whole number of 0 or more.")))
}

/// `op:time`, or `time` for equal. Times are compared as they are shown, in whole seconds.
fn when(q: &mut Sql, column: &str, key: &str, value: &str) -> Result<()> {
    let (op, text) = match value.split_once(':') {
        Some((op, rest)) if op.bytes().all(|b| b.is_ascii_alphabetic()) => (op, rest),
        _ => ("eq", value),
    };
    let time = Micros::parse(text)
        .ok_or_else(|| Fault::bad_request(format!("{key}: {text:?} is not an ISO 8601 time.")))?;
    let begin = Micros(time.0.div_euclid(SECOND) * SECOND);
    let end = Micros(begin.0 + SECOND);
    match op {
        "gt" => q.and(&format!("{column} >="), end),
        "gte" => q.and(&format!("{column} >="), begin),
        "lt" => q.and(&format!("{column} <"), begin),
        "lte" => q.and(&format!("{column} <"), end),
        "eq" => q.and(&format!("{column} >="), begin).and(&format!("{column} <"), end),
        "neq" => q
            .push(&format!(" AND ({column} < "))
            .bind(begin)
            .push(&format!(" OR {column} >= "))
            .bind(end)
            .push(")"),
        _ => {
            return Err(Fault::bad_request(format!(
                "Unable to filter on an unknown operator {op:?}. It is one of gt, gte, lt, lte, eq, neq."
            )));
        }
    };
    Ok(())
}

/// What lists can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Name,
    Status,
    ContainerFormat,
    DiskFormat,
    Size,
    Id,
    CreatedAt,
    UpdatedAt,
}

impl Key {
    const WORDS: [&str; 8] =
        ["name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"];

    fn of(word: &str) -> Result<Key> {
        Ok(match word {
            "name" => Key::Name,
            "status" => Key::Status,
            "container_format" => Key::ContainerFormat,
            "disk_format" => Key::DiskFormat,
            "size" => Key::Size,
            "id" => Key::Id,
            "created_at" => Key::CreatedAt,
            "updated_at" => Key::UpdatedAt,
            _ => {
                let all = Key::WORDS.join(", ");
                return Err(Fault::bad_request(format!(
                    "Invalid sort key: {word}. It must be one of {all}."
                )));
            }
        })
    }
    /// Never null, because the databases disagree on where nulls go.
    fn sql(self) -> &'static str {
        match self {
            Key::Name => "COALESCE(i.name, '')",
            Key::Status => "i.status",
            Key::ContainerFormat => "COALESCE(i.container_format, '')",
            Key::DiskFormat => "COALESCE(i.disk_format, '')",
            Key::Size => "COALESCE(b.bytes, -1)",
            Key::Id => "i.id",
            Key::CreatedAt => "i.created_at",
            Key::UpdatedAt => "i.updated_at",
        }
    }
    /// The value of the marker's row in column `i`.
    fn value(self, row: &store::Row<'_>, i: usize) -> Result<Val<'static>> {
        Ok(match self {
            Key::Size | Key::CreatedAt | Key::UpdatedAt => Val::from(row.get::<i64>(i)?),
            _ => Val::from(row.get::<String>(i)?),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sort {
    key: Key,
    descending: bool,
}

/// `sort=name:asc,size`, or `sort_key=name&sort_dir=asc&sort_key=size`; newest first if neither. The
/// order is always total.
fn sorts(query: &Query) -> Result<Vec<Sort>> {
    let words = match query.get("sort") {
        Some(_) if query.has("sort_key") || query.has("sort_dir") => {
            return Err(Fault::bad_request("Old and new sorting syntax cannot be combined."));
        }
        Some(list) => {
            let pair = |w: &str| match w.trim().split_once(':') {
                Some((key, dir)) => (key.to_owned(), dir.to_owned()),
                None => (w.trim().to_owned(), "desc".to_owned()),
            };
            list.split(',').map(pair).collect()
        }
        None => old_style(query)?,
    };
    let mut sorts = Vec::new();
    for (key, dir) in words {
        let descending = match dir.as_str() {
            "desc" => true,
            "asc" => false,
            _ => {
                return Err(Fault::bad_request(format!(
                    "Invalid sort direction: {dir}. It must be asc or desc."
                )));
            }
        };
        sorts.push(Sort { key: Key::of(&key)?, descending });
    }
    for key in [Key::CreatedAt, Key::Id] {
        if sorts.iter().all(|s| s.key != key) {
            sorts.push(Sort { key, descending: true });
        }
    }
    Ok(sorts)
}

fn old_style(query: &Query) -> Result<Vec<(String, String)>> {
    let keys: Vec<_> = query.all("sort_key").collect();
    let dirs: Vec<_> = query.all("sort_dir").collect();
    // One direction goes for all keys; without keys it is that of the time of making.
    let keys = if keys.is_empty() && !dirs.is_empty() { vec!["created_at"] } else { keys };
    if dirs.len() > 1 && dirs.len() != keys.len() {
        return Err(Fault::bad_request("Number of sort dirs does not match the number of sort keys."));
    }
    let dir = |i: usize| dirs.get(i).or(dirs.first()).copied().unwrap_or("desc");
    Ok(keys.iter().enumerate().map(|(i, k)| ((*k).to_owned(), dir(i).to_owned())).collect())
}

/// The condition for rows that come after the marker's.
fn after(tx: &Tx<'_>, q: &mut Sql, auth: &Auth, marker: &str, sorts: &[Sort]) -> Result<()> {
    let unknown = || Fault::bad_request(format!("Invalid marker. Image {marker} could not be found."));
    let id: ImageId = marker.parse().map_err(|_| unknown())?;
    crate::table::image::visible(tx, auth, id).map_err(|f| f.or_missing(unknown))?;
    let columns: Vec<_> = sorts.iter().map(|s| s.key.sql()).collect();
    let mut at = Sql::new(&format!("SELECT {} FROM {FROM} WHERE 1 = 1", columns.join(", ")));
    at.and("i.id =", id);
    let values =
        at.opt(tx, |r| sorts.iter().enumerate().map(|(i, s)| s.key.value(r, i)).collect::<Result<Vec<_>>>())?;
    let values = values.ok_or_else(unknown)?;
    q.push(" AND (1 = 0");
    for (i, sort) in sorts.iter().enumerate() {
        q.push(" OR (1 = 1");
        for (equal, value) in sorts.iter().zip(&values).take(i) {
            q.and(&format!("{} =", equal.key.sql()), value.clone());
        }
        let op = if sort.descending { '<' } else { '>' };
        q.and(&format!("{} {op}", sort.key.sql()), values[i].clone()).push(")");
    }
    q.push(")");
    Ok(())
}
