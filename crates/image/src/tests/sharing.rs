//! Who sees what, and members.

use super::{World, worlds};
use axum::body::Body;
use serde_json::json;

const WHO: [&str; 4] = ["member:a", "member:b", "reader:c", "admin:x"];

/// One image of project a for each visibility, named after it, and one that b and c are members of.
async fn images(w: &World) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for visibility in ["public", "community", "shared", "private"] {
        let body = json!({"name": visibility, "visibility": visibility, "owner": "a"});
        all.push((visibility, w.make("admin:x", body).await));
    }
    for (name, answer) in [("asked", ""), ("accepted", "accepted"), ("rejected", "rejected")] {
        let id = w.make("member:a", json!({"name": name})).await;
        let members = format!("/v2/images/{id}/members");
        w.call("POST", &members, "member:a", json!({"member": "b"})).await.is(200);
        if !answer.is_empty() {
            let path = format!("{members}/b");
            w.call("PUT", &path, "member:b", json!({"status": answer})).await.is(200);
        }
        all.push((name, id));
    }
    all
}

#[tokio::test]
async fn images_are_seen_by_those_they_are_for() {
    for w in worlds().await {
        let all = images(&w).await;
        let seen_by = |who: &str| match who {
            "member:b" => vec!["public", "community", "asked", "accepted", "rejected"],
            "reader:c" => vec!["public", "community"],
            _ => vec!["public", "community", "shared", "private", "asked", "accepted", "rejected"],
        };
        for who in WHO {
            for (name, id) in &all {
                let answer = w.get(&format!("/v2/images/{id}"), who).await;
                let expected = if seen_by(who).contains(name) { 200 } else { 404 };
                assert_eq!(answer.status.as_u16(), expected, "{name} for {who}");
                let file = w.get(&format!("/v2/images/{id}/file"), who).await;
                assert_eq!(file.status.as_u16(), if expected == 200 { 204 } else { 404 }, "{name} for {who}");
            }
        }
        let rename = json!([{"op": "replace", "path": "/name", "value": "x"}]);
        for (name, id) in &all {
            let status = w.patch(id, "member:b", rename.clone()).await.status.as_u16();
            assert_eq!(status, if seen_by("member:b").contains(name) { 403 } else { 404 }, "{name}");
        }
    }
}

#[tokio::test]
async fn lists_show_what_they_should() {
    for w in worlds().await {
        images(&w).await;
        let cases: &[(&str, &str, &[&str])] = &[
            ("", "member:a", &["accepted", "asked", "community", "private", "public", "rejected", "shared"]),
            ("", "member:b", &["accepted", "public"]),
            ("", "reader:c", &["public"]),
            ("", "admin:x", &["accepted", "asked", "private", "public", "rejected", "shared"]),
            ("visibility=all", "reader:c", &["community", "public"]),
            ("visibility=all", "member:b", &["accepted", "community", "public"]),
            (
                "visibility=all",
                "admin:x",
                &["accepted", "asked", "community", "private", "public", "rejected", "shared"],
            ),
            ("visibility=community", "reader:c", &["community"]),
            ("visibility=public", "member:a", &["public"]),
            ("visibility=private", "member:a", &["private"]),
            ("visibility=private", "member:b", &[]),
            ("visibility=private", "admin:x", &["private"]),
            ("visibility=shared", "member:b", &["accepted"]),
            ("visibility=shared&member_status=pending", "member:b", &["asked"]),
            ("visibility=shared&member_status=rejected", "member:b", &["rejected"]),
            ("visibility=shared&member_status=all", "member:b", &["accepted", "asked", "rejected"]),
            ("visibility=shared", "member:a", &["accepted", "asked", "rejected", "shared"]),
            ("owner=a", "member:b", &["accepted", "public"]),
        ];
        for (query, who, expected) in cases {
            let names = w.names(&format!("?sort=name:asc&{query}"), who).await;
            assert_eq!(&names, expected, "{query} for {who}");
        }
        w.get("/v2/images?visibility=odd", "member:a").await.refused(400, "visibility");
        w.get("/v2/images?member_status=odd", "member:a").await.refused(400, "member_status");
    }
}

#[tokio::test]
async fn members_are_managed_by_the_owner_and_answer_for_themselves() {
    for w in worlds().await {
        let id = w.make("member:a", json!({"name": "s"})).await;
        let members = format!("/v2/images/{id}/members");
        let b = format!("{members}/b");
        let answer = |who: &'static str, status: &str| w.call("PUT", &b, who, json!({"status": status}));
        w.call("POST", &members, "member:b", json!({"member": "b"})).await.refused(404, "No image found");
        let made = w.call("POST", &members, "member:a", json!({"member": "b"})).await.is(200).json();
        assert_eq!(made["member_id"], "b");
        assert_eq!(made["image_id"], id);
        assert_eq!(made["status"], "pending");
        assert_eq!(made["schema"], "/v2/schemas/member");
        w.call("POST", &members, "member:a", json!({"member": "b"})).await.refused(409, "already exists");
        w.call("POST", &members, "member:a", json!({})).await.refused(400, "member");
        w.call("POST", &members, "member:a", json!({"member": "c"})).await.is(200);
        w.call("POST", &members, "member:b", json!({"member": "d"})).await.refused(403, "another project");
        let list = w.get(&members, "member:a").await.is(200).json();
        assert_eq!(list["members"].as_array().unwrap().len(), 2);
        assert_eq!(list["schema"], "/v2/schemas/members");
        let own = w.get(&members, "member:b").await.is(200).json();
        assert_eq!(own["members"].as_array().unwrap().len(), 1, "a member knows of itself only");
        w.get(&members, "member:d").await.refused(404, "No image found");
        w.get(&b, "member:b").await.is(200);
        w.get(&b, "member:c").await.refused(404, "not found in the member list");
        w.get(&format!("{members}/z"), "member:a").await.refused(404, "not found in the member list");
        answer("member:a", "accepted").await.refused(403, "Only the member itself");
        answer("member:c", "accepted").await.refused(404, "not found in the member list");
        answer("member:b", "perhaps").await.refused(400, "perhaps");
        assert_eq!(answer("member:b", "accepted").await.is(200).json()["status"], "accepted");
        assert_eq!(answer("member:b", "rejected").await.is(200).json()["status"], "rejected");
        assert_eq!(answer("admin:x", "pending").await.is(200).json()["status"], "pending");
        w.delete(&b, "member:b").await.refused(403, "another project");
        assert!(w.delete(&b, "member:a").await.is(204).body.is_empty());
        w.delete(&b, "member:a").await.refused(404, "not found in the member list");
        w.get(&format!("/v2/images/{id}"), "member:b").await.refused(404, "No image found");
        let private = w.make("member:a", json!({"visibility": "private"})).await;
        let path = format!("/v2/images/{private}/members");
        w.call("POST", &path, "member:a", json!({"member": "b"})).await.refused(403, "Only shared images");
        w.get(&path, "member:a").await.refused(403, "Only shared images");
        let bad = w.request("POST", &members, "member:a").body(Body::from("{")).unwrap();
        w.send(bad).await.refused(400, "not valid JSON");
    }
}
