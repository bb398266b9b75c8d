//! `hanok audit` and `hanok events`.

use crate::login::{Session, path_part};
use base::Result;
use comfy_table::{Table, presets};
use serde_json::Value;
use std::io::Write;

/// Prints the newest lines of a log, oldest first. `filters` are the call's own: name and value.
pub async fn log(name: &str, columns: &[&str], filters: &[(&str, String)]) -> Result<()> {
    let session = Session::open().await?;
    let query: Vec<String> = filters.iter().map(|(k, v)| format!("{k}={}", path_part(v))).collect();
    let answer = session.ask("GET", &format!("/hanok/v1/{name}?{}", query.join("&")), None).await?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let rows = answer[name].as_array().map(Vec::as_slice).unwrap_or_default();
    for row in rows.iter().rev() {
        table.add_row(columns.iter().map(|c| text(row, c)));
    }
    // A closed pipe is the reader's business.
    let _ = writeln!(std::io::stdout(), "{table}");
    Ok(())
}

/// A value; for a name that is not known any more the id.
fn text(row: &Value, column: &str) -> String {
    let id = column.replace("_name", "_id");
    [column, &id].into_iter().find_map(|c| row[c].as_str()).unwrap_or_default().to_owned()
}
