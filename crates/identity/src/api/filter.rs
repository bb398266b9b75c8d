//! Filters of lists: `name=x`, and `name__contains=x` with its relatives.

use api::Query;
use base::{Fault, Micros, Result};
use store::Sql;

/// Adds what the query asks of a text column that the API calls `field`.
pub fn text(q: &mut Sql, query: &Query, field: &str, column: &str) {
    for (key, value) in &query.0 {
        match key.strip_prefix(field) {
            Some("") => {
                q.and(&format!("{column} ="), value);
            }
            Some(rest) => {
                if let Some(how) = rest.strip_prefix("__") {
                    compared(q, column, how, value);
                }
            }
            None => {}
        }
    }
}

/// `LIKE` would need escapes, and minds case on one database and not on the other.
fn compared(q: &mut Sql, column: &str, how: &str, value: &str) {
    let (how, any_case) = match how.strip_prefix('i') {
        Some(rest) => (rest, true),
        None => (how, false),
    };
    let column = if any_case { format!("LOWER({column})") } else { column.to_owned() };
    let value = if any_case { value.to_lowercase() } else { value.to_owned() };
    let length = value.chars().count();
    if length == 0 {
        return;
    }
    match how {
        "contains" => {
            q.push(&format!(" AND REPLACE({column}, CAST(")).bind(&value);
            q.push(&format!(" AS TEXT), '') <> {column}"));
        }
        "startswith" => {
            q.push(&format!(" AND SUBSTR({column}, 1, {length}) = ")).bind(&value);
        }
        "endswith" => {
            let at = length - 1;
            q.push(&format!(
                " AND LENGTH({column}) >= {length} AND SUBSTR({column}, LENGTH({column}) - {at}) = "
            ));
            q.bind(&value);
        }
        _ => {}
    }
}

/// `field=lt:2026-11-21T00:00:00Z`, with lt, lte, gt, gte, eq, neq.
///
/// # Errors
/// 400 for anything else.
pub fn time(q: &mut Sql, query: &Query, field: &str, column: &str) -> Result<()> {
    for value in query.all(field) {
        let (how, at) = value.split_once(':').unwrap_or(("", value));
        let op = match how {
            "lt" => "<",
            "lte" => "<=",
            "gt" => ">",
            "gte" => ">=",
            "eq" => "=",
            "neq" => "<>",
            _ => "",
        };
        let (Some(at), false) = (Micros::parse(at), op.is_empty()) else {
            return Err(Fault::bad_request(format!(
                "{field} must be one of lt, lte, gt, gte, eq, neq, then a colon and a time, such as lt:2026-11-21T00:00:00Z."
            )));
        };
        q.and(&format!("{column} {op}"), at);
    }
    Ok(())
}
