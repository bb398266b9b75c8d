//! Filters, sorting, pages.

use super::{World, worlds};
use serde_json::json;

/// Six images of project a.
async fn images(w: &World) {
    for (i, name) in ["c", "a", "f", "b", "e", "d"].into_iter().enumerate() {
        let format = if i % 2 == 0 { "raw" } else { "qcow2" };
        let mut body = json!({"name": name, "disk_format": format, "container_format": "bare", "min_ram": i,
            "protected": i == 0, "tags": ["all", format], "os_hidden": name == "f"});
        if i < 3 {
            body["color"] = json!(if i == 0 { "red" } else { "green" });
        }
        let id = w.make("member:a", body).await;
        if name == "c" {
            w.put(&id, "member:a", vec![0; 100]).await.is(204);
        }
        if name == "e" {
            w.put(&id, "member:a", vec![0; 200]).await.is(204);
        }
    }
    w.make("member:b", json!({"name": "foreign"})).await;
}

#[tokio::test]
async fn lists_are_filtered() {
    for w in worlds().await {
        images(&w).await;
        let cases: &[(&str, &str)] = &[
            ("", "abcde"),
            ("os_hidden=true", "f"),
            ("os_hidden=false", "abcde"),
            ("name=a", "a"),
            ("name=none", ""),
            ("name=in:a,c,f", "ac"),
            ("name=in:%22a%22,b", "ab"),
            ("status=active", "ce"),
            ("status=in:active,queued", "abcde"),
            ("disk_format=raw", "ce"),
            ("disk_format=in:raw,qcow2", "abcde"),
            ("container_format=ova", ""),
            ("owner=a", "abcde"),
            ("owner=b", ""),
            ("tag=all", "abcde"),
            ("tag=all&tag=raw", "ce"),
            ("tag=raw&tag=qcow2", ""),
            ("size_min=150", "e"),
            ("size_max=150", "c"),
            ("size=100", "c"),
            ("min_ram=3", "b"),
            ("min_disk=0", "abcde"),
            ("protected=true", "c"),
            ("protected=False", "abde"),
            ("color=red", "c"),
            ("color=green", "a"),
            ("color=red&name=a", ""),
            ("unknown=x", ""),
            ("created_at=gt:2020-01-01T00:00:00Z", "abcde"),
            ("created_at=lt:2020-01-01T00:00:00Z", ""),
            ("created_at=neq:2020-01-01T00:00:00", "abcde"),
            ("updated_at=gte:2020-01-01&status=active", "ce"),
            ("os_hash_algo=sha512", "ce"),
            ("checksum=6d0bb00954ceb7fbee436bb55a8397a9", "c"),
        ];
        for (query, expected) in cases {
            let names = w.names(&format!("?sort=name:asc&{query}"), "reader:a").await;
            assert_eq!(names.concat(), *expected, "{query}");
        }
        let shown = w.get("/v2/images?name=a", "member:a").await.json()["images"][0].clone();
        let at = shown["created_at"].as_str().unwrap();
        let id = shown["id"].as_str().unwrap();
        for (query, n) in [
            (format!("name=a&created_at={at}"), 1),
            (format!("name=a&created_at=eq:{at}"), 1),
            (format!("name=a&created_at=gt:{at}"), 0),
            (format!("name=a&created_at=lte:{at}"), 1),
            (format!("name=a&created_at=lt:{at}"), 0),
            (format!("id=in:{id},not-an-id"), 1),
            (format!("id={id}"), 1),
        ] {
            assert_eq!(w.names(&format!("?{query}"), "member:a").await.len(), n, "{query}");
        }
        for (query, words) in [
            ("size_min=-1", "size_min"),
            ("size_max=big", "size_max"),
            ("min_ram=x", "min_ram"),
            ("protected=perhaps", "protected"),
            ("os_hidden=perhaps", "os_hidden"),
            ("created_at=after:2020-01-01", "unknown operator"),
            ("created_at=gt:yesterday", "not an ISO 8601 time"),
            ("name=in:%22a", "quote is not closed"),
            ("limit=-1", "limit"),
            ("limit=x", "limit"),
            ("marker=x", "Invalid marker"),
            ("marker=5e6f21c6-1c0f-4c64-8a49-2b3f8a0f7b2d", "Invalid marker"),
            ("sort=color:asc", "Invalid sort key"),
            ("sort=name:up", "Invalid sort direction"),
            ("sort_key=color", "Invalid sort key"),
            ("sort_key=name&sort_dir=asc&sort_dir=desc", "does not match"),
            ("sort=name&sort_key=name", "cannot be combined"),
        ] {
            w.get(&format!("/v2/images?{query}"), "member:a").await.refused(400, words);
        }
    }
}

#[tokio::test]
async fn lists_are_sorted_and_paged() {
    for w in worlds().await {
        images(&w).await;
        assert_eq!(w.names("", "member:a").await.concat(), "debac", "newest first");
        for sort in [
            "sort=name:asc",
            "sort=name:desc",
            "sort=size:asc,name:desc",
            "sort=disk_format,name:asc",
            "sort_key=disk_format&sort_dir=asc&sort_key=name&sort_dir=desc",
            "sort_key=size&sort_key=min&sort_key=id",
            "sort_dir=asc",
            "sort=status:asc",
            "sort_key=updated_at",
        ] {
            let sort = sort.replace("&sort_key=min", "");
            let whole = w.names(&format!("?{sort}"), "member:a").await;
            assert_eq!(whole.len(), 5, "{sort}");
            let mut walked = Vec::new();
            let mut next = format!("/v2/images?{sort}&limit=2");
            let first = next.clone();
            loop {
                let page = w.get(&next, "member:a").await.is(200).json();
                assert_eq!(page["first"], first);
                assert_eq!(page["schema"], "/v2/schemas/images");
                let names = page["images"].as_array().unwrap().iter();
                walked.extend(names.map(|i| i["name"].as_str().unwrap().to_owned()));
                match page.get("next") {
                    Some(n) => next = n.as_str().unwrap().to_owned(),
                    None => break,
                }
            }
            assert_eq!(walked, whole, "{sort}");
        }
        assert_eq!(w.names("?sort=name:asc", "member:a").await.concat(), "abcde");
        assert_eq!(w.names("?sort=size:desc,name:asc", "member:a").await.concat(), "ecabd");
        assert_eq!(w.names("?sort_key=name&sort_dir=asc&sort_key=id", "member:a").await.concat(), "abcde");
        let none = w.get("/v2/images?limit=0", "member:a").await.is(200).json();
        assert_eq!(none["images"], json!([]));
        let foreign = w.get("/v2/images", "member:b").await.json()["images"][0]["id"].clone();
        let marker = format!("/v2/images?marker={}", foreign.as_str().unwrap());
        w.get(&marker, "member:a").await.refused(400, "Invalid marker");
        for i in 0..30 {
            w.make("member:c", json!({"name": format!("n{i}")})).await;
        }
        let page = w.get("/v2/images", "member:c").await.json();
        assert_eq!(page["images"].as_array().unwrap().len(), 25);
        assert_eq!(page["first"], "/v2/images");
        let next = page["next"].as_str().unwrap();
        let rest = w.get(next, "member:c").await.json();
        assert_eq!(rest["images"].as_array().unwrap().len(), 5);
        assert!(rest.get("next").is_none());
    }
}
