//! Filters, fields, order, pages, revisions and tags.

use super::world::{DEMO, World, worlds};
use serde_json::{Value, json};

fn names(v: &Value, many: &str) -> Vec<String> {
    v[many].as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap().to_owned()).collect()
}

async fn five(w: &World) -> Vec<String> {
    let mut ids = Vec::new();
    for name in ["e", "b", "d", "a", "c"] {
        let body = json!({"network": {"name": name, "description": "one of five", "tags": [name, "all"]}});
        ids.push(w.make("demo", "/networks", body).await["id"].as_str().unwrap().to_owned());
    }
    ids
}

#[tokio::test]
async fn filters_and_fields() {
    for w in worlds().await {
        let ids = five(&w).await;
        for (query, expected) in [
            ("?name=a", "a"),
            ("?name=a&name=b&sort_key=name", "a b"),
            ("?name=", ""),
            ("?admin_state_up=True&sort_key=name", "a b c d e"),
            ("?admin_state_up=false", ""),
            ("?status=ACTIVE&sort_key=name", "a b c d e"),
            ("?status=DOWN", ""),
            ("?tags=a,all", "a"),
            ("?tags-any=a,b&sort_key=name", "a b"),
            ("?not-tags=a,all&sort_key=name", "b c d e"),
            ("?not-tags-any=a,b&sort_key=name", "c d e"),
            ("?description=one%20of%20five&name=c", "c"),
            ("?shared=true", ""),
            ("?changed_since=2020-01-01T00:00:00Z&sort_key=name&sort_dir=desc", "e d c b a"),
            ("", "e b d a c"),
        ] {
            assert_eq!(
                names(&w.get("demo", &format!("/networks{query}")).await, "networks").join(" "),
                expected,
                "{query}"
            );
        }
        let one = w.get("demo", &format!("/networks?id={}&fields=id&fields=name", ids[0])).await;
        assert_eq!(one["networks"], json!([{"id": ids[0], "name": "e"}]));
        let one = w.get("demo", &format!("/networks/{}?fields=name", ids[0])).await;
        assert_eq!(one["network"], json!({"name": "e"}));
        for bad in ["?colour=blue", "?sort_key=colour", "?limit=-1", "?limit=x", "?mtu=x", "?shared=maybe"] {
            let (status, v) = w.send("demo", "GET", &format!("/networks{bad}"), &Value::Null, None).await;
            assert_eq!(status, 400, "{bad}: {v}");
        }
        assert!(w.get("other", "/networks").await["networks"].as_array().unwrap().is_empty());
        assert_eq!(w.get("admin", "/networks.json").await["networks"].as_array().unwrap().len(), 5);
    }
}

#[tokio::test]
async fn pages_forward_and_back() {
    for w in worlds().await {
        five(&w).await;
        assert!(w.get("demo", "/networks").await.get("networks_links").is_none());
        assert_eq!(w.get("demo", "/networks?limit=0").await["networks"].as_array().unwrap().len(), 5);
        for order in [
            "",
            "&sort_key=name&sort_dir=desc",
            "&sort_key=description&sort_key=name&sort_dir=asc&sort_dir=asc",
        ] {
            let whole = names(
                &w.get("demo", &format!("/networks?{}", order.trim_start_matches('&'))).await,
                "networks",
            );
            let mut path = format!("/networks?limit=2{order}");
            let mut seen = Vec::new();
            let link = |v: &Value, rel: &str| {
                let all = v["networks_links"].as_array().unwrap();
                all.iter().find(|l| l["rel"] == rel).map(|l| {
                    l["href"]
                        .as_str()
                        .unwrap()
                        .strip_prefix("http://cloud:5240/network/v2.0")
                        .unwrap()
                        .to_owned()
                })
            };
            let last = loop {
                let v = w.get("demo", &path).await;
                seen.extend(names(&v, "networks"));
                match link(&v, "next") {
                    Some(next) => path = next,
                    None => break v,
                }
            };
            assert_eq!(seen, whole, "{order}");
            let mut back = names(&last, "networks");
            let mut path = link(&last, "previous").unwrap();
            loop {
                let v = w.get("demo", &path).await;
                let mut page = names(&v, "networks");
                page.extend(back);
                back = page;
                match link(&v, "previous") {
                    Some(p) => path = p,
                    None => break,
                }
            }
            assert_eq!(back, whole, "{order} backwards");
        }
        w.refused("demo", "GET", "/networks?marker=nobody", Value::Null, 404, "MarkerNotFound").await;
    }
}

#[tokio::test]
async fn what_one_does_not_see_is_no_marker() {
    for w in worlds().await {
        let theirs = w.make("other", "/networks", json!({"network": {"name": "theirs"}})).await;
        five(&w).await;
        let path = format!("/networks?sort_key=name&marker={}", theirs["id"].as_str().unwrap());
        w.refused("demo", "GET", &path, Value::Null, 404, "MarkerNotFound").await;
        assert_eq!(w.get("other", &path).await["networks"], json!([]));
        assert_eq!(w.get("admin", &path).await["networks"], json!([]));
        // What is shared with one is.
        let rbac = json!({"object_type": "network", "object_id": theirs["id"], "action": "access_as_shared",
            "target_tenant": DEMO});
        w.make("other", "/rbac-policies", json!({"rbac_policy": rbac})).await;
        assert_eq!(w.get("demo", &path).await["networks"], json!([]));
    }
}

#[tokio::test]
async fn if_match_guards_every_noun() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.0.0.0/24").await;
        let p = w.make("demo", "/ports", json!({"port": {"network_id": n}})).await;
        let r = w.make("demo", "/routers", json!({"router": {"name": "r"}})).await;
        let g = w.make("demo", "/security-groups", json!({"security_group": {"name": "g"}})).await;
        let pool = w.make("demo", "/subnetpools", json!({"subnetpool": {"prefixes": ["10.0.0.0/16"]}})).await;
        let scope = w.make("demo", "/address-scopes", json!({"address_scope": {"ip_version": 6}})).await;
        let a = w.make("demo", "/address-groups", json!({"address_group": {}})).await;
        let id = |v: &Value| v["id"].as_str().unwrap().to_owned();
        for (path, one) in [
            (format!("/ports/{}", id(&p)), "port"),
            (format!("/subnets/{s}"), "subnet"),
            (format!("/networks/{n}"), "network"),
            (format!("/routers/{}", id(&r)), "router"),
            (format!("/security-groups/{}", id(&g)), "security_group"),
            (format!("/subnetpools/{}", id(&pool)), "subnetpool"),
            (format!("/address-scopes/{}", id(&scope)), "address_scope"),
            (format!("/address-groups/{}", id(&a)), "address_group"),
        ] {
            let body = json!({one: {"name": "new"}});
            let now = w.get("demo", &path).await[one]["revision_number"].as_i64().unwrap();
            let (status, v) =
                w.send("demo", "PUT", &path, &body, Some(("if-match", "revision_number=99"))).await;
            assert_eq!(
                (status, v["NeutronError"]["type"].as_str()),
                (412, Some("RevisionNumberConstraintFailed"))
            );
            let right = format!("revision_number={now}");
            let (status, v) = w.send("demo", "PUT", &path, &body, Some(("if-match", &right))).await;
            assert_eq!((status, v[one]["revision_number"].as_i64()), (200, Some(now + 1)), "{path}: {v}");
            let (status, _) = w.send("demo", "DELETE", &path, &Value::Null, Some(("if-match", &right))).await;
            assert_eq!(status, 412);
            let (status, _) =
                w.send("demo", "DELETE", &path, &Value::Null, Some(("if-match", "nonsense"))).await;
            assert_eq!(status, 400);
            let right = format!("revision_number={}", w.get("demo", &path).await[one]["revision_number"]);
            let (status, v) = w.send("demo", "DELETE", &path, &Value::Null, Some(("if-match", &right))).await;
            assert_eq!(status, 204, "{path}: {v}");
        }
    }
}

#[tokio::test]
async fn tags_of_every_noun() {
    for w in worlds().await {
        w.first_start().await;
        let fip = {
            let net = w.get("demo", "/networks?name=public").await["networks"][0]["id"].clone();
            w.make("demo", "/floatingips", json!({"floatingip": {"floating_network_id": net}})).await;
            "/floatingips"
        };
        w.make("demo", "/subnetpools", json!({"subnetpool": {"prefixes": ["10.0.0.0/16"]}})).await;
        w.make("demo", "/address-scopes", json!({"address_scope": {"ip_version": 6}})).await;
        let a = w.make("demo", "/address-groups", json!({"address_group": {}})).await;
        let policy = json!({"object_type": "address_group", "object_id": a["id"], "action": "access_as_shared",
            "target_tenant": "somebody"});
        w.make("demo", "/rbac-policies", json!({"rbac_policy": policy})).await;
        for (path, many) in [
            ("/networks?name=private", "networks"),
            ("/subnets?name=private-subnet", "subnets"),
            ("/ports", "ports"),
            ("/routers", "routers"),
            (fip, "floatingips"),
            ("/security-groups", "security_groups"),
            ("/security-group-rules", "security_group_rules"),
            ("/subnetpools", "subnetpools"),
            ("/address-scopes", "address_scopes"),
            ("/address-groups", "address_groups"),
            ("/rbac-policies", "rbac_policies"),
        ] {
            let all = w.get("demo", path).await;
            let mut mine = all[many].as_array().unwrap().iter().filter(|r| r["project_id"] == DEMO);
            let id = mine.next().unwrap()["id"].as_str().unwrap().to_owned();
            let tags = format!("/{}/{id}/tags", many.replace('_', "-"));
            let red = format!("{tags}/red");
            assert_eq!(w.send("demo", "GET", &red, &Value::Null, None).await.0, 404, "{many}");
            assert_eq!(w.send("demo", "PUT", &red, &Value::Null, None).await, (201, Value::Null), "{many}");
            assert_eq!(w.send("demo", "GET", &red, &Value::Null, None).await, (204, Value::Null));
            let set = w.put("demo", &tags, json!({"tags": ["b", "a", "b"]})).await;
            assert_eq!(set["tags"], json!(["a", "b"]));
            assert_eq!(w.get("demo", &tags).await["tags"], json!(["a", "b"]));
            let base = path.split('?').next().unwrap();
            assert_eq!(
                w.get("demo", &format!("{base}?tags=a&id={id}")).await[many][0]["tags"],
                json!(["a", "b"])
            );
            w.refused("demo", "DELETE", &red, Value::Null, 404, "TagNotFound").await;
            w.remove("demo", &format!("{tags}/a")).await;
            w.remove("demo", &tags).await;
            assert_eq!(w.get("demo", &tags).await["tags"], json!([]));
            let (status, _) = w.send("other", "PUT", &tags, &json!({"tags": []}), None).await;
            assert_eq!(status, 404, "{many}");
        }
    }
}
