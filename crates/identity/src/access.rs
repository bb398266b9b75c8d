//! Access rules: which requests an application credential may be used for.
//!
//! A rule names a service by its type and a path as that service would see it by itself: the request
//! `GET /compute/v2.1/servers` is `GET /v2.1/servers` of `compute`.

use crate::model::AccessRule;
use base::{Fault, Kind, Result};
use http::Method;

/// Types under which clients know the service that lives at a place.
fn types(place: &str) -> &[&str] {
    match place {
        "volume" => &["volumev3", "block-storage", "volume"],
        _ => &[],
    }
}

fn is_service(rule: &str, place: &str) -> bool {
    rule == place || types(place).contains(&rule)
}

/// # Errors
/// 401 when no rule allows the request.
pub fn check(rules: &[AccessRule], method: &Method, path: &str) -> Result<()> {
    let (place, rest) = match path.strip_prefix('/').unwrap_or(path).split_once('/') {
        Some((place, rest)) => (place, rest),
        None => (path.trim_start_matches('/'), ""),
    };
    let allows = |r: &AccessRule| {
        is_service(&r.service, place) && r.method == method.as_str() && matches(&r.path, rest)
    };
    if rules.iter().any(allows) {
        return Ok(());
    }
    Err(Fault::new(
        Kind::Unauthorized,
        format!("The access rules of this application credential do not allow {method} /{rest} of {place}."),
    ))
}

/// Whether a path (without its first slash) is what a pattern means: `*` and `{name}` stand for one
/// part, `**` for any number of characters.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.trim_matches('/').split('/').collect();
    let path: Vec<&str> = path.trim_matches('/').split('/').collect();
    parts(&pattern, &path)
}

fn parts(pattern: &[&str], path: &[&str]) -> bool {
    match pattern {
        [] => path.is_empty(),
        ["**", rest @ ..] => (0..=path.len()).any(|n| path.get(n..).is_some_and(|tail| parts(rest, tail))),
        [first, rest @ ..] => match path {
            [head, tail @ ..] => one(first, head) && parts(rest, tail),
            [] => false,
        },
    }
}

fn one(pattern: &str, part: &str) -> bool {
    let named = pattern.starts_with('{') && pattern.ends_with('}');
    if pattern == "*" || named {
        return !part.is_empty();
    }
    match pattern.split_once('*') {
        Some((before, after)) => {
            part.len() >= before.len() + after.len() && part.starts_with(before) && part.ends_with(after)
        }
        None => pattern == part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, good) in [
            ("/v2.1/servers", "v2.1/servers", true),
            ("/v2.1/servers", "v2.1/servers/x", false),
            ("/v2.1/servers/*", "v2.1/servers/x", true),
            ("/v2.1/servers/*", "v2.1/servers", false),
            ("/v2.1/servers/*/ips", "v2.1/servers/x/ips", true),
            ("/v2.1/servers/*/ips", "v2.1/servers/x/y/ips", false),
            ("/v2.1/servers/{server_id}", "v2.1/servers/x", true),
            ("/v2.1/**", "v2.1/servers/x/y", true),
            ("/v2.1/**/ips", "v2.1/servers/x/ips", true),
            ("/v2.1/**", "v2.0/servers", false),
            ("**", "anything/at/all", true),
            ("/v2/images/ab*", "v2/images/abc", true),
        ] {
            assert_eq!(matches(pattern, path), good, "{pattern} {path}");
        }
    }

    #[test]
    fn the_service_and_the_method_count() {
        let rule = AccessRule {
            id: String::new(),
            user_id: base::UserId::new(),
            service: "compute".into(),
            method: "GET".into(),
            path: "/v2.1/servers".into(),
        };
        let rules = [rule];
        check(&rules, &Method::GET, "/compute/v2.1/servers").unwrap();
        for (method, path) in [
            (Method::POST, "/compute/v2.1/servers"),
            (Method::GET, "/image/v2.1/servers"),
            (Method::GET, "/compute/v2.1/flavors"),
            (Method::GET, "/compute"),
        ] {
            let fault = check(&rules, &method, path).unwrap_err();
            assert_eq!(fault.kind, Kind::Unauthorized, "{method} {path}");
        }
    }
}
