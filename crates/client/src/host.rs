//! `hanok host drain NAME`: empties a host for maintenance.

use crate::login::{Session, path_part};
use base::{Fault, Result};
use serde_json::Value;
use std::io::Write;
use std::time::Duration;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_secs(2);

/// Begins to empty a host, or stops that. With `wait` it tells each change until the host is empty.
///
/// # Errors
/// With `wait`, `Conflict` when what is left cannot go.
pub async fn drain(name: &str, wait: bool, cancel: bool) -> Result<()> {
    let session = Session::open().await?;
    let path = format!("/hanok/v1/hosts/{}/drain", path_part(name));
    let method = if cancel { "DELETE" } else { "POST" };
    let mut now = session.ask(method, &path, None).await?["drain"].take();
    if cancel {
        say(&format!("{name} takes servers again; those that it has stay."));
        return Ok(());
    }
    let mut told = String::new();
    loop {
        let words = progress(name, &now);
        if words != told {
            say(&words);
            told = words;
        }
        if !wait || now["left"] == 0 {
            return Ok(());
        }
        if now["draining"] != true {
            return Err(Fault::conflict("It was cancelled by somebody else."));
        }
        let list = |field: &str| now[field].as_array().map_or(0, Vec::len);
        if list("moving") == 0 && list("waiting") == 0 && !tried_again(&now) {
            return Err(Fault::conflict(
                "What is left cannot go by itself. Do as it says, then ask once more.",
            ));
        }
        tokio::time::sleep(LOOK).await;
        now = session.ask("GET", &path, None).await?["drain"].take();
    }
}

/// Whether something that is stuck is tried again by itself.
fn tried_again(now: &Value) -> bool {
    let all = now["stuck"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter()
        .any(|s| s["reason"].as_str().is_some_and(|r| r.contains("tried again") || r.contains("being done")))
}

fn progress(name: &str, now: &Value) -> String {
    let list = |field: &str| now[field].as_array().map_or(&[][..], Vec::as_slice);
    if now["left"] == 0 {
        return format!("{name} is empty.");
    }
    let mut text = format!(
        "{name}: {} left, {} on their way, {} waiting.",
        now["left"],
        list("moving").len(),
        list("waiting").len()
    );
    for s in list("stuck") {
        let (id, why) = (s["server"].as_str().unwrap_or(""), s["reason"].as_str().unwrap_or(""));
        text.push_str(&format!("\n  {id} cannot go: {why}"));
    }
    text
}

fn say(text: &str) {
    // A closed pipe is the reader's business.
    let _ = writeln!(std::io::stdout(), "{text}");
}
