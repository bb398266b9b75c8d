//! The catalogue: where the services live, as tokens carry it.

use crate::table;
use base::Result;
use serde_json::{Value, json};
use store::Tx;

/// The catalogue as JSON text. `project` is empty for a token that is not scoped to one: addresses
/// that need a project are left out then, as the API has it.
pub fn text(tx: &Tx<'_>, project: &str, base: &str) -> Result<String> {
    let endpoints = match table::endpoint_filter::endpoints_of(tx, project)? {
        Some(given) => given,
        None => table::endpoint::enabled(tx)?,
    };
    let mut list: Vec<Value> = Vec::new();
    for service in table::service::enabled(tx)? {
        let own = endpoints.iter().filter(|e| e.service_id == service.id);
        let own = own.filter_map(|e| {
            Some(json!({
                "id": e.id,
                "interface": e.interface,
                "region": e.region_id,
                "region_id": e.region_id,
                "url": filled(&absolute(&e.url, base), project)?,
            }))
        });
        let own: Vec<Value> = own.collect();
        list.push(json!({
            "id": service.id, "type": service.kind, "name": service.name, "endpoints": own,
        }));
    }
    Ok(Value::Array(list).to_string())
}

/// An address that starts with `/` is one of ours, at whatever address the client has used.
pub fn absolute(url: &str, base: &str) -> String {
    if url.starts_with('/') { format!("{base}{url}") } else { url.to_owned() }
}

/// Puts the project in; none if the address needs what the token does not have.
fn filled(url: &str, project: &str) -> Option<String> {
    let mut url = url.to_owned();
    for name in ["project_id", "tenant_id"] {
        for place in [format!("$({name})s"), format!("%({name})s")] {
            if url.contains(&place) {
                if project.is_empty() {
                    return None;
                }
                url = url.replace(&place, project);
            }
        }
    }
    (!url.contains("$(") && !url.contains("%(")).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_what_the_token_has() {
        assert_eq!(filled("http://h/v3/$(project_id)s", "p").unwrap(), "http://h/v3/p");
        assert_eq!(filled("http://h/v1/AUTH_%(tenant_id)s", "p").unwrap(), "http://h/v1/AUTH_p");
        assert_eq!(filled("http://h/v3/$(project_id)s", ""), None);
        assert_eq!(filled("http://h/$(user_id)s", "p"), None);
        assert_eq!(filled("http://h/", "").unwrap(), "http://h/");
        assert_eq!(absolute("/identity", "http://h:1"), "http://h:1/identity");
        assert_eq!(absolute("http://x/identity", "http://h:1"), "http://x/identity");
    }
}
