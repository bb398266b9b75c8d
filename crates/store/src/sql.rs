//! Statements put together from parts, for lists with filters and pages.

use crate::{Row, Tx, Val};
use base::{Micros, Result};

/// A statement under construction. Text comes from us only; values are always bound.
///
/// ```ignore
/// let mut q = Sql::new("SELECT id FROM server WHERE deleted_at IS NULL");
/// q.and("project_id =", project);
/// q.push(" ORDER BY created_at, id");
/// q.rows(tx, |r| r.get(0))
/// ```
#[derive(Debug, Clone)]
pub struct Sql {
    text: String,
    vals: Vec<Val<'static>>,
}

impl Sql {
    pub fn new(text: &str) -> Self {
        Sql { text: text.to_owned(), vals: Vec::new() }
    }
    /// Adds text as it is.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }
    /// Adds a bound value.
    pub fn bind<'a>(&mut self, v: impl Into<Val<'a>>) -> &mut Self {
        self.vals.push(v.into().into_owned());
        self.text.push_str(&format!("${}", self.vals.len()));
        self
    }
    /// Adds another statement, or a part of one, with its values.
    pub fn add(&mut self, part: &Sql) -> &mut Self {
        let (first, mut pieces) = (self.vals.len(), part.text.split('$'));
        self.text.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let digits = piece.len() - piece.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = piece.split_at(digits);
            let number = number.parse::<usize>().map_or(0, |n| n + first);
            self.text.push_str(&format!("${number}{rest}"));
        }
        self.vals.extend(part.vals.iter().cloned());
        self
    }
    /// Adds ` AND condition $n`, as in `and("name =", name)`.
    pub fn and<'a>(&mut self, condition: &str, v: impl Into<Val<'a>>) -> &mut Self {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self.text.push(' ');
        self.bind(v)
    }
    /// Adds ` AND column IN (…)`; an empty list matches nothing.
    pub fn and_in<'a, V: Into<Val<'a>>>(
        &mut self,
        column: &str,
        vals: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        self.text.push_str(&format!(" AND {column} IN ("));
        self.list(vals);
        self.push(")")
    }
    /// Adds bound values separated by commas, or NULL when there are none.
    pub fn list<'a, V: Into<Val<'a>>>(&mut self, vals: impl IntoIterator<Item = V>) -> &mut Self {
        let mut any = false;
        for v in vals {
            if any {
                self.text.push_str(", ");
            }
            any = true;
            self.bind(v);
        }
        if !any {
            self.text.push_str("NULL");
        }
        self
    }
    /// Adds the keyset condition for rows that come after `(created_at, id)`.
    pub fn after(&mut self, created_at: Micros, id: &str, descending: bool) -> &mut Self {
        let op = if descending { '<' } else { '>' };
        self.push(&format!(" AND (created_at, id) {op} ("));
        self.bind(created_at).push(", ").bind(id.to_owned()).push(")")
    }
    pub fn limit(&mut self, n: usize) -> &mut Self {
        self.push(" LIMIT ");
        self.bind(i64::try_from(n).unwrap_or(i64::MAX))
    }
    pub fn rows<T>(&self, tx: &Tx<'_>, f: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
        tx.rows(&self.text, &self.vals, f)
    }
    pub fn opt<T>(&self, tx: &Tx<'_>, f: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Option<T>> {
        tx.opt(&self.text, &self.vals, f)
    }
    pub fn exec(&self, tx: &Tx<'_>) -> Result<u64> {
        tx.exec(&self.text, &self.vals)
    }
    pub fn text(&self) -> &str {
        &self.text
    }
}
