//! `personality`: files that a server is made or rebuilt with, up to microversion 2.56.
//!
//! They are on its configuration drive, from which cloud-init writes them at the first start, and in its metadata.
//! Source: the API reference of Compute, "Create Server" and "Rebuild Server", and "Limits" for how many and how large.

use super::wish::invalid;
use crate::limits::INJECTED;
use api::Obj;
use base::doc::InjectedFile;
use base::{Fault, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest file in base64, as far as a body is read.
const ENCODED_MAX: usize = 1 << 20;

/// # Errors
/// 400 for another form, 403 (as Compute has it) for too many, too large, or too long a path.
pub fn parse(o: &Obj) -> Result<Vec<InjectedFile>> {
    let list = o.opt_list("personality")?.cloned().unwrap_or_default();
    let [most, bytes, path_bytes] = INJECTED.map(|(_, max)| usize::try_from(max).unwrap_or(usize::MAX));
    if list.len() > most {
        return Err(Fault::quota(format!(
            "Personality file limit exceeded: {} files, at most {most}.",
            list.len()
        )));
    }
    let file = |value| {
        let o = Obj::root(value)?;
        o.only(&["path", "contents"])?;
        let (path, content) = (o.str("path", ENCODED_MAX)?, o.str("contents", ENCODED_MAX)?);
        if path.is_empty() || path.chars().any(char::is_control) {
            return Err(invalid("path", "It names a file, without control characters."));
        }
        if path.len() > path_bytes {
            return Err(Fault::quota(format!("Personality file path exceeds maximum {path_bytes}")));
        }
        let content: String = content.split_whitespace().collect();
        let plain = STANDARD.decode(&content);
        let plain =
            plain.map_err(|_| invalid("contents", "The content of a file must be base64 encoded."))?;
        if plain.len() > bytes {
            return Err(Fault::quota(format!("Personality file content exceeds maximum {bytes}")));
        }
        Ok(InjectedFile { path, content })
    };
    list.into_iter().map(file).collect()
}
