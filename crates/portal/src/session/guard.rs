//! What a request says of where it comes from.

use super::COOKIE;
use http::{HeaderMap, header};

/// The secret in a request's cookie.
pub fn secret_of(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
    let pairs = all.flat_map(|v| v.split(';')).filter_map(|p| p.trim().split_once('='));
    pairs.filter(|(name, value)| *name == COOKIE && !value.is_empty()).map(|(_, value)| value).next()
}

/// Whether a browser says that another page than ours asks. `base` is our own address. Programs that say nothing of
/// it are not browsers, or older than these headers: for them the CSRF word and the cookie's SameSite stand.
pub fn from_elsewhere(headers: &HeaderMap, base: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let Some(origin) = text("origin") else { return false };
    let authority =
        |url: &str| url.split_once("://").map(|(_, rest)| rest.trim_end_matches('/').to_ascii_lowercase());
    let from = authority(origin);
    // Behind a proxy the Host may be either its or ours.
    let ours = [authority(base), text("host").map(str::to_ascii_lowercase)];
    from.is_none() || !ours.contains(&from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let of = |text: &str| secret_of(&headers(&[("cookie", text)])).map(str::to_owned);
        assert_eq!(of("a=b; hanok_session=x-_1; c=d").as_deref(), Some("x-_1"));
        assert_eq!(of("hanok_session="), None);
        assert_eq!(of("xhanok_session=1"), None);
        assert_eq!(secret_of(&headers(&[("cookie", "a=1"), ("cookie", "hanok_session=2")])), Some("2"));
    }

    #[test]
    fn other_pages_are_told_by_their_browser() {
        let base = "https://cloud.example";
        let elsewhere = |pairs: &[(&'static str, &str)]| from_elsewhere(&headers(pairs), base);
        assert!(!elsewhere(&[]));
        assert!(!elsewhere(&[("sec-fetch-site", "same-origin"), ("origin", "https://cloud.example")]));
        assert!(!elsewhere(&[("sec-fetch-site", "none")]));
        assert!(elsewhere(&[("sec-fetch-site", "same-site")]));
        assert!(elsewhere(&[("sec-fetch-site", "cross-site")]));
        assert!(elsewhere(&[("origin", "https://evil.example")]));
        assert!(elsewhere(&[("origin", "null")]));
        assert!(elsewhere(&[("origin", "https://cloud.example.evil.example")]));
        assert!(!elsewhere(&[("origin", "http://127.0.0.1:5240"), ("host", "127.0.0.1:5240")]));
        assert!(elsewhere(&[("origin", "http://127.0.0.1:3000"), ("host", "127.0.0.1:5240")]));
    }
}
