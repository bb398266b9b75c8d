//! Every filter and every order of every list, with whatever clients put into them: answers or refusals.

use super::world::{World, worlds};
use crate::api::list::COMMON;
use crate::api::noun::Noun;
use crate::api::{
    addresses, floating, group, network, pool, port, qos, rbac, router, rule, scope, subnet, template,
};
use serde_json::{Value, json};

/// Something of each noun, twice or more, with and without what may be absent.
async fn site(w: &World) {
    w.first_start().await;
    let public = w.get("demo", "/networks?name=public").await["networks"][0]["id"].clone();
    let (n, _) = w.network("demo", "10.9.0.0/24").await;
    let p = w.make("demo", "/ports", json!({"port": {"network_id": n}})).await;
    w.make("demo", "/ports", json!({"port": {"network_id": n, "fixed_ips": []}})).await;
    w.make("demo", "/routers", json!({"router": {"name": "r"}})).await;
    let subnet =
        json!({"subnet": {"network_id": n, "ip_version": 4, "cidr": "10.8.0.0/24", "gateway_ip": null}});
    w.make("demo", "/subnets", subnet).await;
    for _ in 0..2 {
        w.make("demo", "/floatingips", json!({"floatingip": {"floating_network_id": public}})).await;
        w.make("demo", "/address-scopes", json!({"address_scope": {"ip_version": 6}})).await;
        w.make("demo", "/address-groups", json!({"address_group": {}})).await;
    }
    for body in [json!({}), json!({"default_quota": 5}), json!({"default_quota": 40}), json!({})] {
        let mut pool = body;
        pool["prefixes"] = json!(["10.0.0.0/16"]);
        w.make("demo", "/subnetpools", json!({"subnetpool": pool})).await;
    }
    for target in ["one", "two"] {
        let policy = json!({"object_type": "network", "object_id": n, "action": "access_as_shared",
            "target_tenant": target});
        w.make("demo", "/rbac-policies", json!({"rbac_policy": policy})).await;
        w.make("admin", "/qos/policies", json!({"policy": {"name": target}})).await;
    }
    w.put("demo", &format!("/ports/{}", p["id"].as_str().unwrap()), json!({"port": {"name": "later"}})).await;
}

async fn ids(w: &World, path: &str, query: &str, many: &str) -> Option<Vec<String>> {
    let path = format!("{path}?{query}");
    let (status, v) = w.send("admin", "GET", &path, &Value::Null, None).await;
    match status {
        200 => {
            Some(v[many].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect())
        }
        400 => None,
        _ => panic!("GET {path}: {status} {v}"),
    }
}

async fn filters<N: Noun>(w: &World, path: &str) {
    const VALUES: [&str; 12] = [
        "",
        "x",
        "0",
        "-1",
        "true",
        "False",
        "99999999999999999999",
        "2020-01-01T00:00:00Z",
        "0b1e6a52-5a0c-4c1e-9d55-0b9a36f1a001",
        "ip_address=10.0.0.5",
        "%25%27_%22",
        "%00",
    ];
    for (name, _) in N::FILTERS.iter().chain(COMMON) {
        for value in VALUES {
            ids(w, path, &format!("{name}={value}"), N::MANY).await;
        }
        ids(w, path, &format!("{name}=x&{name}=1&sort_key={name}&limit=1"), N::MANY).await;
    }
}

async fn orders<N: Noun>(w: &World, path: &str) {
    let mut sorted = 0;
    for (name, _) in N::FILTERS.iter().chain(COMMON) {
        for way in ["asc", "desc"] {
            let order = format!("sort_key={name}&sort_dir={way}");
            let Some(whole) = ids(w, path, &order, N::MANY).await else { continue };
            assert!(whole.len() > 1, "{path} has too few to tell");
            sorted += 1;
            for back in ["False", "True"] {
                let mut seen: Vec<String> = Vec::new();
                let mut page = format!("{order}&limit=1&page_reverse={back}");
                while let Some(one) = ids(w, path, &page, N::MANY).await.unwrap().pop() {
                    page = format!("{order}&limit=1&page_reverse={back}&marker={one}");
                    seen.push(one);
                    assert!(seen.len() <= whole.len(), "{path}?{page} goes round: {seen:?}");
                }
                if back == "True" {
                    seen.reverse();
                }
                assert_eq!(seen, whole, "{path}?{order} page_reverse={back}");
            }
        }
    }
    assert!(sorted > 0, "{path} can be sorted by nothing");
}

async fn walk<N: Noun>(w: &World, path: &str) {
    filters::<N>(w, path).await;
    orders::<N>(w, path).await;
}

#[tokio::test]
async fn every_filter_and_order_is_answered() {
    for w in worlds().await {
        site(&w).await;
        walk::<network::Networks>(&w, "/networks").await;
        walk::<subnet::Subnets>(&w, "/subnets").await;
        walk::<port::Ports>(&w, "/ports").await;
        walk::<router::Routers>(&w, "/routers").await;
        walk::<floating::Floatings>(&w, "/floatingips").await;
        walk::<group::Groups>(&w, "/security-groups").await;
        walk::<rule::Rules>(&w, "/security-group-rules").await;
        walk::<template::Templates>(&w, "/default-security-group-rules").await;
        walk::<rbac::Policies>(&w, "/rbac-policies").await;
        walk::<scope::Scopes>(&w, "/address-scopes").await;
        walk::<pool::Pools>(&w, "/subnetpools").await;
        walk::<addresses::AddressGroups>(&w, "/address-groups").await;
        walk::<qos::Policies>(&w, "/qos/policies").await;
    }
}
