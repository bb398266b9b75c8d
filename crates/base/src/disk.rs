//! `qemu-img`, and what its `info --output=json` says of a disk image. Images come from tenants: none is opened for its
//! content before this was looked at.

use crate::{Fault, Result};
use serde_json::Value;
use std::ffi::OsStr;
use std::process::{Output, Stdio};
use std::time::Duration;

/// A conversion reads and writes a disk; one that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(3600);
/// How often it is seen to meanwhile that the disk does not fill up.
const LOOK: Duration = Duration::from_millis(200);

/// Runs `program`, which is `qemu-img`, under limits on time, memory and the size of what it writes (`most` bytes, and a
/// mebibyte), and only as long as there is `room`.
///
/// # Errors
/// That of `room`; `Unavailable` when it takes too long. How it ended is in the output.
pub async fn qemu_img<R>(
    program: &str,
    most: u64,
    arguments: &[&OsStr],
    room: impl Fn() -> R,
) -> Result<Output>
where
    R: Future<Output = Result<()>>,
{
    let run = tokio::process::Command::new("prlimit")
        .args(["--as=2147483648", "--core=0", &format!("--fsize={}", most.saturating_add(1 << 20)), program])
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let full = async {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(full) = room().await {
                return full;
            }
        }
    };
    let out = tokio::select! {
        out = tokio::time::timeout(LIMIT, run) => out,
        full = full => return Err(full),
    };
    let late = |_| Fault::unavailable(format!("The conversion took longer than {} s.", LIMIT.as_secs()));
    Ok(out.map_err(late)??)
}

/// The virtual size, in bytes, of an image that is one file: the one at `path`, as `qemu-img` was told it.
///
/// # Errors
/// `BadRequest` when it refers to another file (a backing file, data file or extent), or says no size.
pub fn of_one_file(info: &Value, path: &str) -> Result<u64> {
    let data = &info["format-specific"]["data"];
    let mut extents = data["extents"].as_array().into_iter().flatten();
    let foreign = !info["backing-filename"].is_null()
        || !data["data-file"].is_null()
        || extents.any(|e| e["filename"].as_str().is_some_and(|f| f != path));
    if foreign {
        return Err(Fault::bad_request(
            "The image refers to another file (a backing file, data file or extent). \
             Upload one that is whole, such as `qemu-img convert` writes it.",
        ));
    }
    info["virtual-size"].as_u64().ok_or_else(|| Fault::bad_request("The image has no readable size."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_refers_to_other_files_is_refused() {
        let whole = json!({
            "virtual-size": 1024, "format": "vmdk",
            "format-specific": { "data": { "extents": [{ "filename": "a", "format": "SPARSE" }] } },
        });
        assert_eq!(of_one_file(&whole, "a").unwrap(), 1024);
        assert!(of_one_file(&whole, "b").is_err());
        for (key, value) in [
            ("backing-filename", json!("/etc/shadow")),
            ("format-specific", json!({ "data": { "data-file": "/etc/shadow" } })),
            ("virtual-size", json!(null)),
        ] {
            let mut changed = whole.clone();
            changed[key] = value;
            assert!(of_one_file(&changed, "a").is_err(), "{key}");
        }
    }
}
