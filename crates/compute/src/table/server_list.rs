//! Lists of servers: filters, order, pages.

use super::server::{COLUMNS, read};
use crate::model::{Server, VmState};
use crate::status::Meant;
use base::{Fault, Micros, ProjectId, Result, ServerId};
use store::{Row, Sql, Tx, Val, params};

/// A filter by addresses that is no plain one is a regular expression over at most this many servers.
const NAMES_MAX: usize = 20_000;

/// Which servers a list shows. `None` means that it does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub project: Option<ProjectId>,
    /// `None`: both.
    pub deleted: Option<bool>,
    /// Those too that can still be restored.
    pub soft_deleted: bool,
    /// Regular expressions: our column and the pattern.
    pub patterns: Vec<(&'static str, String)>,
    /// Any of these.
    pub states: Vec<Meant>,
    /// True: nothing can match.
    pub nothing: bool,
    pub changed_since: Option<Micros>,
    pub changed_before: Option<Micros>,
    /// Plain equality: our column and the text.
    pub equal: Vec<(&'static str, String)>,
    /// Plain equality with a number.
    pub equal_number: Vec<(&'static str, i64)>,
    /// Our column and a time that it must be in the second of.
    pub at_second: Vec<(&'static str, Micros)>,
    pub host_name: Option<String>,
    /// The host's zone.
    pub zone: Option<String>,
    /// (regular expression over an address, IP version)
    pub addresses: Vec<(String, u8)>,
    pub tags_all: Vec<String>,
    pub tags_any: Vec<String>,
    pub not_tags_all: Vec<String>,
    pub not_tags_any: Vec<String>,
}

/// One sort column; texts and numbers compare differently with nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub column: &'static str,
    pub number: bool,
    pub descending: bool,
}

impl Key {
    /// Nulls take part in the order, so that a page can begin after one.
    fn sql(&self) -> String {
        match self.column {
            // Never null, and what the indexes are made of.
            "created_at" | "id" => self.column.to_owned(),
            column => format!("COALESCE({column}, {})", if self.number { "0" } else { "''" }),
        }
    }
    fn of(&self, r: &Row<'_>, i: usize) -> Result<Val<'static>> {
        Ok(if self.number { Val::from(r.get::<i64>(i)?) } else { Val::from(r.get::<String>(i)?) })
    }
}

/// At most `n` servers after `marker`, in the order of `keys` (which must end in a unique one).
///
/// # Errors
/// 400 for an unknown marker or a name that is no regular expression.
pub fn list(tx: &Tx<'_>, f: &Filter, keys: &[Key], marker: Option<&str>, n: usize) -> Result<Vec<Server>> {
    if f.nothing {
        return Ok(Vec::new());
    }
    let order: Vec<String> =
        keys.iter().map(|k| format!("{} {}", k.sql(), if k.descending { "DESC" } else { "ASC" })).collect();
    let order = format!(" ORDER BY {}", order.join(", "));
    let from = |columns: &str| -> Result<Sql> {
        let mut q = Sql::new(&format!("SELECT {columns} FROM server WHERE 1 = 1"));
        conditions(tx, f, &mut q)?;
        if let Some(marker) = marker {
            after(tx, f, keys, marker, &mut q)?;
        }
        Ok(q)
    };
    if f.patterns.is_empty() {
        return from(COLUMNS)?.push(&order).limit(n).rows(tx, read);
    }
    let columns: Vec<&str> = f.patterns.iter().map(|(column, _)| *column).collect();
    let mut q = from(&format!("id, {}", columns.join(", ")))?;
    let page = matching(tx, f, q.push(&order), n)?;
    let mut q = Sql::new(&format!("SELECT {COLUMNS} FROM server WHERE 1 = 1"));
    q.and_in("id", page).push(&order).rows(tx, read)
}

fn conditions(tx: &Tx<'_>, f: &Filter, q: &mut Sql) -> Result<()> {
    if let Some(project) = &f.project {
        q.and("project_id =", project);
    }
    match f.deleted {
        Some(true) => drop(q.push(" AND deleted_at IS NOT NULL")),
        // One that can still be restored is as good as gone, unless it is asked for.
        Some(false)
            if !f.soft_deleted && !f.states.iter().any(|(vm, _)| vm.contains(&VmState::SoftDeleted)) =>
        {
            q.push(" AND deleted_at IS NULL AND soft_deleted_at IS NULL");
        }
        Some(false) => drop(q.push(" AND deleted_at IS NULL")),
        None => {}
    }
    states(f, q);
    if let Some(t) = f.changed_since {
        q.and("updated_at >=", t);
    }
    if let Some(t) = f.changed_before {
        q.and("updated_at <=", t);
    }
    for (column, text) in &f.equal {
        q.and(&format!("{column} ="), text);
    }
    for (column, number) in &f.equal_number {
        q.and(&format!("{column} ="), *number);
    }
    for (column, time) in &f.at_second {
        q.and(&format!("{column} >="), *time).and(&format!("{column} <"), Micros(time.0 + 1_000_000));
    }
    if let Some(host) = &f.host_name {
        q.push(" AND host_id IN (SELECT id FROM host WHERE name = ").bind(host).push(")");
    }
    if let Some(zone) = &f.zone {
        q.push(" AND host_id IN (SELECT id FROM host WHERE availability_zone = ").bind(zone).push(")");
    }
    for (pattern, version) in &f.addresses {
        q.and_in("id", addressed(tx, f, pattern, *version)?);
    }
    tags(f, q);
    Ok(())
}

fn states(f: &Filter, q: &mut Sql) {
    if f.states.is_empty() {
        return;
    }
    q.push(" AND (1 = 0");
    for (vm, task) in &f.states {
        q.push(" OR (vm_state IN (").list(vm.iter().map(|v| v.as_str())).push(")");
        if let Some(task) = task {
            q.and("task_state =", task.as_str());
        }
        q.push(")");
    }
    q.push(")");
}

fn tags(f: &Filter, q: &mut Sql) {
    let has = "EXISTS (SELECT 1 FROM server_tag t WHERE t.server_id = server.id AND t.tag IN (";
    for tag in &f.tags_all {
        q.push(&format!(" AND {has}")).bind(tag).push("))");
    }
    if !f.tags_any.is_empty() {
        q.push(&format!(" AND {has}")).list(&f.tags_any).push("))");
    }
    if !f.not_tags_any.is_empty() {
        q.push(&format!(" AND NOT {has}")).list(&f.not_tags_any).push("))");
    }
    if !f.not_tags_all.is_empty() {
        q.push(" AND NOT (1 = 1");
        for tag in &f.not_tags_all {
            q.push(&format!(" AND {has}")).bind(tag).push("))");
        }
        q.push(")");
    }
}

fn regex(what: &str, pattern: &str) -> Result<regex_lite::Regex> {
    let bad = |e| Fault::bad_request(format!("Invalid {what} filter {pattern:?}: {e}"));
    regex_lite::RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(bad)
}

fn few_enough(servers: usize) -> Result<()> {
    if servers <= NAMES_MAX {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "The filter by addresses would look at more than {NAMES_MAX} servers. Please narrow it to a longer part of \
         the address, or to a project."
    )))
}

/// Servers with a text of each, among those that the filter's project and deletion leave.
fn texts(tx: &Tx<'_>, f: &Filter, column: &str) -> Result<Vec<(ServerId, String)>> {
    let mut q = Sql::new(&format!("SELECT id, COALESCE({column}, '') FROM server WHERE 1 = 1"));
    if let Some(project) = &f.project {
        q.and("project_id =", project);
    }
    q.push(if f.deleted == Some(false) { " AND deleted_at IS NULL" } else { "" }).limit(NAMES_MAX + 1);
    q.rows(tx, |r| Ok((r.get(0)?, r.get(1)?)))
}

/// The first `n` of a statement's servers whose texts match, found in memory: a regular expression is the same
/// on both databases only when neither evaluates it.
fn matching(tx: &Tx<'_>, f: &Filter, q: &Sql, n: usize) -> Result<Vec<ServerId>> {
    let all = f.patterns.iter().map(|(column, pattern)| regex(column, pattern));
    let regexes: Vec<regex_lite::Regex> = all.collect::<Result<_>>()?;
    let mut page = Vec::new();
    q.rows(tx, |r| {
        if page.len() == n {
            return Ok(());
        }
        for (i, regex) in regexes.iter().enumerate() {
            let text: Option<String> = r.get(i + 1)?;
            if !regex.is_match(&text.unwrap_or_default()) {
                return Ok(());
            }
        }
        page.push(r.get(0)?);
        Ok(())
    })?;
    Ok(page)
}

/// Servers with an address that matches. A pattern without choices is narrowed by the database first, so that
/// the common search for one address does not read them all.
fn addressed(tx: &Tx<'_>, f: &Filter, pattern: &str, version: u8) -> Result<Vec<ServerId>> {
    let regex = regex("ip", pattern)?;
    let hex = |c: char| c.is_ascii_hexdigit() || c == ':';
    let ids = if pattern.chars().all(|c| hex(c) || ".^$\\".contains(c)) {
        let part = pattern.trim_start_matches('^').trim_end_matches('$').replace("\\.", ".");
        let plain = if part.contains(['^', '$', '\\']) { "" } else { &part };
        network::for_compute::servers_with_address(tx, plain, version)?
    } else {
        texts(tx, f, "id")?.into_iter().map(|(id, _)| id).collect()
    };
    few_enough(ids.len())?;
    let all = network::for_compute::addresses(tx, &ids)?;
    let fits = |a: &network::for_compute::Address| {
        a.address.is_ipv4() == (version == 4) && regex.is_match(&a.address.to_string())
    };
    Ok(all.into_iter().filter(|(_, list)| list.iter().any(fits)).map(|(id, _)| id).collect())
}

/// Adds the condition for rows after `marker` in the order of `keys`:
/// `a > A OR (a = A AND (b > B OR (b = B AND …)))`.
fn after(tx: &Tx<'_>, f: &Filter, keys: &[Key], marker: &str, q: &mut Sql) -> Result<()> {
    let columns: Vec<String> = keys.iter().map(Key::sql).collect();
    let sql = format!("SELECT {}, project_id FROM server WHERE id = $1", columns.join(", "));
    let found = tx.opt(&sql, params![marker], |r| {
        let values = keys.iter().enumerate().map(|(i, k)| k.of(r, i)).collect::<Result<Vec<_>>>()?;
        Ok((values, r.get::<ProjectId>(keys.len())?))
    })?;
    let values = match found {
        Some((values, project)) if f.project.as_ref().is_none_or(|p| *p == project) => values,
        _ => return Err(Fault::bad_request(format!("marker [{marker}] not found"))),
    };
    for (i, (key, value)) in keys.iter().zip(&values).enumerate() {
        q.push(if i == 0 { " AND (" } else { " OR (" });
        let op = if key.descending { '<' } else { '>' };
        q.push(&format!("{} {op} ", key.sql())).bind(value.clone());
        if i + 1 < keys.len() {
            q.push(&format!(" OR ({} = ", key.sql())).bind(value.clone()).push(" AND (1 = 0");
        }
    }
    // Three parentheses were opened per key but the last, one there.
    q.push(")");
    for _ in 1..keys.len() {
        q.push(")))");
    }
    Ok(())
}
