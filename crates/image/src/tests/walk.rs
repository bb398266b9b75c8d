//! Every route, without a token and with one that is not good.

use super::worlds;
use crate::service;
use api::Rule;
use axum::body::Body;

/// Routes that need no token. This list only shrinks.
const OPEN: [&str; 3] = ["/image", "/image/versions", "/image/v2"];

#[tokio::test]
async fn every_route_refuses_without_a_token() {
    let w = &worlds().await[0];
    let mut open = Vec::new();
    for route in service().list() {
        if route.rule == Rule::Open {
            open.push(route.path);
            continue;
        }
        let path = route
            .path
            .strip_prefix("/image")
            .unwrap()
            .replace("{id}", "5e6f21c6-1c0f-4c64-8a49-2b3f8a0f7b2d");
        let path = path.replace("{tag}", "t").replace("{member}", "m").replace("{name}", "image");
        let path = path.replace("{task}", "t").replace("{store}", "s").replace("{ns}", "n");
        for token in ["", "expired"] {
            let request = w.request(route.method.as_str(), &path, token).body(Body::empty()).unwrap();
            let answer = w.send(request).await.refused(401, "requires authentication");
            assert!(answer.header("www-authenticate").contains("/identity"), "{path}");
        }
        let nobody = w.request(route.method.as_str(), &path, "none:a").body(Body::empty()).unwrap();
        w.send(nobody).await.refused(403, "needs the role");
    }
    assert_eq!(open, OPEN);
}
