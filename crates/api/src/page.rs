//! Paging and sorting.

use crate::Query;
use base::{Fault, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// The page that a list asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// At most this many; `None` means all (the API has no default page).
    pub limit: Option<usize>,
    pub marker: Option<String>,
}

/// One sort key with its direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    pub key: String,
    pub descending: bool,
}

impl Page {
    /// Reads `limit` and `marker`. `default` is the page when none is asked for, `max` the largest.
    ///
    /// # Errors
    /// 400 for a limit that is no number, or negative.
    pub fn parse(q: &Query, default: Option<usize>, max: usize) -> Result<Page> {
        let limit = match q.get("limit") {
            None | Some("") => default,
            Some(text) => {
                let n: i64 = text.parse().map_err(|_| {
                    Fault::bad_request(format!("limit must be a whole number, not {text:?}."))
                })?;
                let n = usize::try_from(n)
                    .map_err(|_| Fault::bad_request(format!("limit must not be negative (it is {n}).")))?;
                Some(n.min(max))
            }
        };
        Ok(Page { limit, marker: q.get("marker").filter(|m| !m.is_empty()).map(str::to_owned) })
    }

    /// How many rows to fetch so that one knows whether there are more.
    pub fn fetch(&self) -> usize {
        self.limit.map_or(usize::MAX >> 2, |l| l + 1)
    }

    /// Cuts the extra row off; true if there was one.
    pub fn cut<T>(&self, rows: &mut Vec<T>) -> bool {
        match self.limit {
            Some(l) if rows.len() > l => {
                rows.truncate(l);
                true
            }
            _ => false,
        }
    }
}

/// Reads `sort_key`/`sort_dir` (repeatable). Keys beyond `allowed` are refused.
pub fn sorts(q: &Query, allowed: &[&str]) -> Result<Vec<Sort>> {
    let dirs: Vec<_> = q.all("sort_dir").collect();
    q.all("sort_key")
        .enumerate()
        .map(|(i, key)| {
            if !allowed.contains(&key) {
                return Err(Fault::bad_request(format!(
                    "One cannot sort by {key:?}. Sort keys: {}.",
                    allowed.join(", ")
                )));
            }
            let descending = match dirs.get(i) {
                None | Some(&"asc") => false,
                Some(&"desc") => true,
                Some(d) => {
                    return Err(Fault::bad_request(format!("sort_dir must be asc or desc, not {d:?}.")));
                }
            };
            Ok(Sort { key: key.to_owned(), descending })
        })
        .collect()
}

/// All but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The address of the next page: the present one with another marker.
pub fn next_href(base: &str, path: &str, q: &Query, marker: &str) -> String {
    let encode = |s: &str| percent_encoding::utf8_percent_encode(s, ENCODED).to_string();
    let mut pairs: Vec<String> =
        q.0.iter()
            .filter(|(k, _)| k != "marker" && k != "page_reverse")
            .map(|(k, v)| format!("{}={}", encode(k), encode(v)))
            .collect();
    pairs.push(format!("marker={}", encode(marker)));
    format!("{base}{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_begins_after_whatever_its_marker_is() {
        let id = "4ac8f5f4-6d0e-4a44-9d36-0d2e6a44b1a1";
        assert_eq!(
            next_href("http://cloud:5240", "/servers", &Query::parse(Some("sort_key=name&marker=x")), id),
            format!("http://cloud:5240/servers?sort_key=name&marker={id}")
        );
        for marker in ["my key", "a&b#c", "limit=2&x", "50%+1", "é"] {
            let href = next_href("", "/things", &Query::parse(Some("limit=1")), marker);
            let uri: http::Uri = href.parse().unwrap();
            let query = Query::parse(uri.query());
            assert_eq!(query.0.len(), 2, "{href}");
            assert_eq!((query.get("limit"), query.get("marker")), (Some("1"), Some(marker)), "{href}");
        }
    }
}
