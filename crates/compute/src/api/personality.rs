//! `personality`: files that a server is made or rebuilt with, up to microversion 2.56.
//!
//! They are on its configuration drive, from which cloud-init writes them at the first start, and in its metadata.
//! Source: the API reference of Compute, "Create Server" and "Rebuild Server", and "Limits" for how many and how large.

use super::quotas;
use super::wish::invalid;
use api::Obj;
use base::doc::InjectedFile;
use base::{Fault, ProjectId, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use store::Tx;

/// Longest path, and longest content in base64, as far as a body is read.
const LONGEST: usize = 1 << 20;

/// # Errors
/// 400 for another form.
pub fn parse(o: &Obj) -> Result<Vec<InjectedFile>> {
    let file = |value| {
        let o = Obj::root(value)?;
        o.only(&["path", "contents"])?;
        let (path, content) = (o.str("path", LONGEST)?, o.str("contents", LONGEST)?);
        if path.is_empty() || path.chars().any(char::is_control) {
            return Err(invalid("path", "It names a file, without control characters."));
        }
        let content: String = content.split_whitespace().collect();
        if STANDARD.decode(&content).is_err() {
            return Err(invalid("contents", "The content of a file must be base64 encoded."));
        }
        Ok(InjectedFile { path, content })
    };
    o.opt_list("personality")?.cloned().unwrap_or_default().into_iter().map(file).collect()
}

/// # Errors
/// 403, as Compute has it, for more, larger ones or longer paths than the project's quota has.
pub fn within_quota(tx: &Tx<'_>, project: &ProjectId, files: &[InjectedFile]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let [most, bytes, path_bytes] = quotas::injected(tx, project)?;
    let over = |n: usize, max: i64| max >= 0 && i64::try_from(n).unwrap_or(i64::MAX) > max;
    let plain = |f: &InjectedFile| STANDARD.decode(&f.content).map_or(0, |content| content.len());
    let why = if over(files.len(), most) {
        format!("Personality file limit exceeded: {} files, at most {most}.", files.len())
    } else if files.iter().any(|f| over(f.path.len(), path_bytes)) {
        format!("Personality file path exceeds maximum {path_bytes}")
    } else if files.iter().any(|f| over(plain(f), bytes)) {
        format!("Personality file content exceeds maximum {bytes}")
    } else {
        return Ok(());
    };
    Err(Fault::quota(why))
}
