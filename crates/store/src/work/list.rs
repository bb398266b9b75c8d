//! Lists of what is under way.

use super::{Explanation, explanation};
use crate::{Sql, Tx};
use base::Result;

/// Which rows a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub kind: Option<String>,
    /// Name of a state, such as `Building`, whatever comes with it.
    pub state: Option<String>,
    /// What rests as well.
    pub resting: bool,
    /// Only what takes longer than it should.
    pub overdue: bool,
    /// Only ids that one of these queries finds, each of which ends where its bound value goes.
    pub own: Option<(Vec<&'static str>, String)>,
    /// Behind the row with this id.
    pub marker: Option<String>,
    pub limit: usize,
}

/// What has been in its state for the shortest time first.
pub fn list(tx: &Tx<'_>, f: &Filter) -> Result<Vec<Explanation>> {
    let mut q = Sql::new(&format!("SELECT {} FROM work WHERE 1 = 1", super::COLUMNS));
    if let Some(kind) = &f.kind {
        q.and("kind =", kind);
    }
    if let Some(state) = &f.state {
        // A state is a JSON word, or an object with that word as its only key.
        let word = serde_json::to_string(state)?;
        let length = word.chars().count() + 1;
        q.push(" AND (state = ").bind(&word);
        q.push(&format!(" OR SUBSTR(state, 1, {length}) = ")).bind(format!("{{{word}")).push(")");
    }
    if !f.resting {
        q.push(" AND wake_at IS NOT NULL");
    }
    if f.overdue {
        q.push(" AND overrun = 1");
    }
    if let Some((queries, value)) = &f.own {
        q.push(" AND id IN (");
        for (i, query) in queries.iter().enumerate() {
            q.push(if i > 0 { " UNION ALL " } else { "" }).push(query).push(" ").bind(value);
        }
        q.push(")");
    }
    if let Some(marker) = &f.marker {
        q.push(" AND (since, id) < (SELECT since, id FROM work WHERE id = ").bind(marker).push(")");
    }
    q.push(" ORDER BY since DESC, id DESC").limit(f.limit);
    q.rows(tx, explanation)
}
