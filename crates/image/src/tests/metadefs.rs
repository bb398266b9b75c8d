//! Metadata definitions.

use super::{World, worlds};
use serde_json::{Value, json};

const ALL: &str = "/v2/metadefs/namespaces";

async fn post(w: &World, path: &str, body: Value) -> super::Answer {
    w.call("POST", path, "admin:x", body).await
}

async fn get(w: &World, path: &str, token: &str) -> Value {
    w.get(path, token).await.is(200).json()
}

fn names(list: &Value, noun: &str) -> Vec<String> {
    let key = if noun == "namespaces" { "namespace" } else { "name" };
    list[noun].as_array().unwrap().iter().map(|n| n[key].as_str().unwrap().to_owned()).collect()
}

fn text(title: &str) -> Value {
    json!({"title": title, "type": "string"})
}

#[tokio::test]
async fn an_installation_begins_with_definitions_and_keeps_what_became_of_them() {
    for mut w in worlds().await {
        let types = get(&w, "/v2/metadefs/resource_types", "reader:a").await;
        assert!(names(&types, "resource_types").contains(&"OS::Nova::Flavor".to_owned()));
        let list = get(&w, &format!("{ALL}?resource_types=OS::Nova::Flavor"), "reader:a").await;
        let mut flavors = names(&list, "namespaces");
        flavors.sort();
        assert_eq!(flavors, ["OS::Compute::GuestShape", "OS::Compute::Quota"]);
        let shape = format!("{ALL}/OS::Compute::GuestShape?resource_type=OS::Nova::Flavor");
        assert!(get(&w, &shape, "reader:a").await["properties"]["hw:cpu_cores"].is_object());
        let quota = get(&w, &format!("{ALL}/OS::Compute::Quota"), "reader:a").await;
        assert_eq!(quota["objects"].as_array().unwrap().len(), 2);
        assert_eq!(quota["self"], format!("{ALL}/OS::Compute::Quota"));
        let gone = format!("{ALL}/OS::Compute::Quota");
        w.delete(&gone, "admin:x").await.refused(403, "is protected");
        let body = json!({"namespace": "OS::Compute::Quota", "visibility": "public", "protected": false});
        w.call("PUT", &gone, "admin:x", body).await.is(200);
        w.delete(&gone, "admin:x").await.is(204);
        w.restart().await;
        w.get(&gone, "admin:x").await.is(404);
    }
}

#[tokio::test]
async fn a_namespace_is_made_whole_shown_changed_and_deleted() {
    for w in worlds().await {
        let body = json!({
            "namespace": "A B", "display_name": "Ab", "description": "d", "visibility": "public", "protected": true,
            "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "ab_"}, {"name": "My::Type"}],
            "properties": {"p": text("P")},
            "objects": [{"name": "o", "required": ["q"], "properties": {"q": text("Q")}}],
            "tags": [{"name": "t"}],
        });
        let made = post(&w, ALL, body.clone()).await.is(201);
        assert!(made.header("location").ends_with("/image/v2/metadefs/namespaces/A%20B"));
        let made = made.json();
        for key in ["display_name", "description", "visibility", "protected"] {
            assert_eq!(made[key], body[key], "{key}");
        }
        assert_eq!(made["owner"], "x");
        post(&w, ALL, body).await.refused(409, "already exists");
        let path = format!("{ALL}/A%20B");
        let shown = get(&w, &path, "reader:b").await;
        assert_eq!(shown["properties"], json!({"p": text("P")}));
        assert_eq!(shown["objects"][0]["properties"], json!({"q": text("Q")}));
        assert_eq!(shown["tags"], json!([{"name": "t"}]));
        assert_eq!(names(&shown, "resource_type_associations"), ["My::Type", "OS::Glance::Image"]);
        // For a resource type, properties are called as they are there.
        let there = get(&w, &format!("{path}?resource_type=OS::Glance::Image"), "reader:b").await;
        assert_eq!(there["properties"], json!({"ab_p": text("P")}));
        assert_eq!(there["objects"][0]["required"], json!(["ab_q"]));
        let one =
            get(&w, &format!("{path}/properties/ab_p?resource_type=OS::Glance::Image"), "reader:b").await;
        assert_eq!(one["name"], "ab_p");
        let wrong = w.get(&format!("{path}/properties/p?resource_type=OS::Glance::Image"), "reader:b").await;
        wrong.refused(404, "does not start with");

        w.delete(&path, "admin:x").await.refused(403, "is protected");
        w.call("PUT", &path, "member:x", json!({"namespace": "C"})).await.is(403);
        let changed = w.call("PUT", &path, "admin:x", json!({"namespace": "C"})).await.is(200).json();
        let expected =
            [("namespace", json!("C")), ("visibility", json!("private")), ("protected", json!(false))];
        for (key, value) in expected {
            assert_eq!(changed[key], value, "{key}");
        }
        w.get(&path, "admin:x").await.refused(404, "namespace=A B was not found");
        w.get(&format!("{ALL}/C"), "reader:b").await.is(404);
        w.get(&format!("{ALL}/C"), "reader:x").await.is(200);
        w.delete(&format!("{ALL}/C"), "admin:y").await.is(204);
        w.get(&format!("{ALL}/C"), "admin:x").await.is(404);
        assert_eq!(w.count("SELECT COUNT(*) FROM metadef_item WHERE name IN ('p', 'o', 't')").await, 0);
    }
}

#[tokio::test]
async fn wrong_definitions_are_refused() {
    for w in worlds().await {
        let long = "x".repeat(81);
        for (body, words) in [
            (json!({}), "namespace"),
            (json!({"namespace": ""}), "it is empty"),
            (json!({"namespace": long}), "too long"),
            (json!({"namespace": "n", "visibility": "shared"}), "not one of public, private"),
            (json!({"namespace": "n", "colour": 1}), "additional properties"),
            (json!({"namespace": "n", "properties": {"p": {"title": "P"}}}), "'type' is a required"),
            (json!({"namespace": "n", "properties": {"p": {"type": "string"}}}), "'title' is a required"),
            (json!({"namespace": "n", "properties": {"p": {"title": "P", "type": "text"}}}), "not one of"),
            (
                json!({"namespace": "n", "properties": {"p": {"title": "P", "type": "string", "minLength": -1}}}),
                "whole number",
            ),
            (
                json!({"namespace": "n", "properties": {"p": {"title": "P", "type": "string", "size": 1}}}),
                "additional properties",
            ),
            (json!({"namespace": "n", "objects": [{}]}), "'name' is a required"),
            (json!({"namespace": "n", "objects": ["o"]}), "object is expected"),
            (json!({"namespace": "n", "tags": [{"name": 3}]}), "not of type 'string'"),
            (
                json!({"namespace": "n", "resource_type_associations": [{"prefix": "p"}]}),
                "'name' is a required",
            ),
        ] {
            post(&w, ALL, body).await.refused(400, words);
        }
        w.call("POST", ALL, "member:a", json!({"namespace": "n"})).await.is(403);
        w.get(&format!("{ALL}/n"), "admin:x").await.is(404);
        w.get(&format!("{ALL}?sort_key=colour"), "reader:a").await.refused(400, "Invalid sort key");
        w.get(&format!("{ALL}?visibility=shared"), "reader:a").await.refused(400, "Invalid visibility");
    }
}

#[tokio::test]
async fn namespaces_are_listed_in_pages_for_those_who_may_see_them() {
    for w in worlds().await {
        w.db.write(|tx| tx.exec("DELETE FROM metadef_namespace", &[])).await.unwrap();
        for (name, visibility) in [("a", "public"), ("b", "private"), ("c", "public")] {
            post(&w, ALL, json!({"namespace": name, "visibility": visibility})).await.is(201);
        }
        let list = async |query: &str, token: &str| get(&w, &format!("{ALL}{query}"), token).await;
        assert_eq!(names(&list("", "reader:z").await, "namespaces"), ["c", "a"]);
        assert_eq!(names(&list("", "reader:x").await, "namespaces"), ["c", "b", "a"]);
        assert_eq!(names(&list("?visibility=private", "admin:y").await, "namespaces"), ["b"]);
        let first = list("?limit=2&sort_key=namespace&sort_dir=asc", "admin:x").await;
        assert_eq!(names(&first, "namespaces"), ["a", "b"]);
        let next = first["next"].as_str().unwrap();
        assert_eq!(names(&get(&w, next, "admin:x").await, "namespaces"), ["c"]);
        assert_eq!(first["first"], format!("{ALL}?limit=2&sort_key=namespace&sort_dir=asc"));
        assert_eq!(first["schema"], "/v2/schemas/metadefs/namespaces");
    }
}

#[tokio::test]
async fn resource_types_are_associated() {
    for w in worlds().await {
        post(&w, ALL, json!({"namespace": "n", "visibility": "public"})).await.is(201);
        let path = format!("{ALL}/n/resource_types");
        let made = post(&w, &path, json!({"name": "New::Type", "prefix": "n_"})).await.is(201).json();
        assert_eq!((&made["name"], &made["prefix"]), (&json!("New::Type"), &json!("n_")));
        post(&w, &path, json!({"name": "New::Type"})).await.refused(409, "already exists");
        let types = get(&w, "/v2/metadefs/resource_types", "reader:a").await;
        assert!(names(&types, "resource_types").contains(&"New::Type".to_owned()));
        assert_eq!(names(&get(&w, &path, "reader:a").await, "resource_type_associations"), ["New::Type"]);
        w.delete(&format!("{path}/New::Type"), "admin:x").await.is(204);
        w.delete(&format!("{path}/New::Type"), "admin:x").await.refused(404, "was not found");
    }
}

#[tokio::test]
async fn objects_and_properties_come_change_and_go() {
    for w in worlds().await {
        post(&w, ALL, json!({"namespace": "n", "visibility": "public"})).await.is(201);
        for (noun, body, change) in [
            (
                "objects",
                json!({"name": "one", "description": "d", "properties": {"q": text("Q")}}),
                json!({"name": "two"}),
            ),
            (
                "properties",
                json!({"name": "one", "title": "T", "type": "integer", "minimum": 1}),
                json!({"name": "two", "title": "U", "type": "string"}),
            ),
        ] {
            let path = format!("{ALL}/n/{noun}");
            let made = post(&w, &path, body.clone()).await.is(201).json();
            for (key, value) in body.as_object().unwrap() {
                assert_eq!(made[key], *value, "{key}");
            }
            post(&w, &path, body.clone()).await.refused(409, "already exists in namespace=n");
            assert_eq!(get(&w, &format!("{path}/one"), "reader:b").await, made);
            let mut other = body.clone();
            other["name"] = json!("other");
            post(&w, &path, other).await.is(201);
            w.call(
                "PUT",
                &format!("{path}/one"),
                "admin:x",
                json!({"name": "other", "title": "U", "type": "string"}),
            )
            .await
            .is(if noun == "objects" { 400 } else { 409 });
            let changed = w.call("PUT", &format!("{path}/one"), "admin:x", change).await.is(200).json();
            assert_eq!(changed["name"], "two");
            w.get(&format!("{path}/one"), "admin:x").await.refused(404, "name=one was not found");
            w.delete(&format!("{path}/two"), "admin:x").await.is(204);
            w.delete(&format!("{path}/two"), "admin:x").await.is(404);
            w.delete(&path, "admin:x").await.is(204);
            let left = get(&w, &path, "reader:a").await;
            assert!(
                left[noun]
                    .as_array()
                    .map_or_else(|| left[noun].as_object().unwrap().is_empty(), Vec::is_empty)
            );
        }
    }
}

#[tokio::test]
async fn tags_are_replaced_or_appended() {
    for w in worlds().await {
        post(&w, ALL, json!({"namespace": "n", "visibility": "public"})).await.is(201);
        let path = format!("{ALL}/n/tags");
        let tags =
            |names: &[&str]| json!({"tags": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()});
        assert_eq!(post(&w, &path, tags(&["a", "b"])).await.is(201).json(), tags(&["a", "b"]));
        post(&w, &path, tags(&["c", "d"])).await.is(201);
        assert_eq!(names(&get(&w, &path, "reader:a").await, "tags"), ["c", "d"]);
        let request = w.request("POST", &path, "admin:x").header("x-openstack-append", "True");
        w.send(request.body(tags(&["e"]).to_string().into()).unwrap()).await.is(201);
        let page = get(&w, &format!("{path}?limit=2"), "reader:a").await;
        assert_eq!(names(&page, "tags"), ["c", "d"]);
        assert_eq!(names(&get(&w, page["next"].as_str().unwrap(), "reader:a").await, "tags"), ["e"]);
        post(&w, &path, tags(&["f", "f"])).await.refused(409, "already exists");
        w.call("POST", &format!("{path}/f"), "admin:x", json!({})).await.is(201);
        assert_eq!(get(&w, &format!("{path}/f"), "reader:a").await["name"], "f");
        let changed =
            w.call("PUT", &format!("{path}/f"), "admin:x", json!({"name": "g"})).await.is(200).json();
        assert_eq!(changed["name"], "g");
        w.delete(&format!("{path}/g"), "admin:x").await.is(204);
        w.delete(&path, "admin:x").await.is(204);
        assert!(names(&get(&w, &path, "reader:a").await, "tags").is_empty());
    }
}

#[tokio::test]
async fn definitions_have_schemas() {
    let w = &worlds().await[0];
    for (path, name) in [
        ("namespace", "namespace"),
        ("namespaces", "namespaces"),
        ("resource_type", "resource_type_association"),
        ("resource_types", "resource_type_associations"),
        ("object", "object"),
        ("objects", "objects"),
        ("property", "property"),
        ("properties", "properties"),
        ("tag", "tag"),
        ("tags", "tags"),
    ] {
        assert_eq!(get(w, &format!("/v2/schemas/metadefs/{path}"), "reader:a").await["name"], name);
    }
    w.get("/v2/schemas/metadefs/cow", "reader:a").await.refused(404, "no schema");
}
