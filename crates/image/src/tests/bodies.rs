//! Bodies in which something is something else: refused in the API's words, or taken, and never our fault.

use super::{World, worlds};
use proptest::prelude::*;
use serde_json::json;
use testing::{Ask, spoiled};

async fn right(w: &World) -> Vec<Ask> {
    let (id, queued) = (w.active("member:a", b"content").await, w.raw("member:a").await);
    let image = json!({"name": "i", "disk_format": "raw", "container_format": "bare", "visibility": "private",
        "min_ram": 1, "min_disk": 1, "protected": false, "os_hidden": false, "tags": ["red"], "os_distro": "mini"});
    let changes = json!([{"op": "replace", "path": "/name", "value": "n"},
        {"op": "add", "path": "/tags", "value": ["blue"]}, {"op": "add", "path": "/os_distro", "value": "x"},
        {"op": "replace", "path": "/min_ram", "value": 7}, {"op": "remove", "path": "/os_distro"}]);
    let property = json!({"name": "q", "title": "P", "type": "string", "enum": ["a"], "default": "a"});
    let namespace = json!({"namespace": "N", "display_name": "n", "description": "d", "visibility": "public",
        "protected": false, "resource_type_associations": [{"name": "T", "prefix": "t_"}],
        "properties": {"p": {"title": "P", "type": "integer", "minimum": 1, "maximum": 9}},
        "objects": [{"name": "o", "required": ["q"], "properties": {"q": {"title": "Q", "type": "string"}}}],
        "tags": [{"name": "t"}]});
    let import = json!({"method": {"name": "web-download", "uri": "http://example.org/x"}});
    let own = "/v2/metadefs/namespaces/N";
    let all: [(_, &str, _); 10] = [
        ("POST", "/v2/images", image),
        ("PATCH", &format!("/v2/images/{id}"), changes),
        ("POST", &format!("/v2/images/{id}/members"), json!({"member": "b"})),
        ("POST", &format!("/v2/images/{queued}/import"), import),
        ("POST", "/v2/metadefs/namespaces", namespace),
        ("PUT", own, json!({"namespace": "N", "visibility": "public", "protected": false})),
        ("POST", &format!("{own}/properties"), property),
        ("POST", &format!("{own}/objects"), json!({"name": "b", "properties": {}, "required": []})),
        ("POST", &format!("{own}/tags"), json!({"tags": [{"name": "a"}, {"name": "b"}]})),
        ("POST", &format!("{own}/resource_types"), json!({"name": "U", "prefix": "u_"})),
    ];
    all.map(|(method, path, body)| (method, path.to_owned(), body)).into()
}

async fn status(w: &World, (method, path, body): &Ask) -> u16 {
    let kind = "application/openstack-images-v2.1-json-patch";
    let kind = if *method == "PATCH" { kind } else { "application/json" };
    let request = w.request(method, path, "admin:a").header("content-type", kind);
    w.send(request.body(body.to_string().into()).unwrap()).await.status.as_u16()
}

#[test]
fn no_body_is_our_fault() {
    let run = tokio::runtime::Runtime::new().unwrap();
    for w in run.block_on(worlds()) {
        let right = run.block_on(right(&w));
        let answers = right.iter().map(|ask| (ask, run.block_on(status(&w, ask))));
        let refused: Vec<_> = answers.filter(|(_, status)| *status >= 300).collect();
        assert!(refused.is_empty(), "{refused:?}");
        let few = testing::few();
        proptest!(few, |(ask in spoiled(right))| {
            let status = run.block_on(status(&w, &ask));
            prop_assert!(status < 500, "{status}");
        });
    }
}
