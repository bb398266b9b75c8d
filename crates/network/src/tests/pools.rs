//! Subnet pools and address scopes.

use super::world::{ADMIN, DEMO, OTHER, World, worlds};
use crate::plan::{free_prefix, minus};
use base::SubnetPoolId;
use ipnet::IpNet;
use serde_json::{Value, json};

fn id(v: &Value) -> String {
    v["id"].as_str().unwrap().to_owned()
}

async fn pool(w: &World, token: &str, body: Value) -> String {
    id(&w.make(token, "/subnetpools", json!({"subnetpool": body})).await)
}

async fn network(w: &World, token: &str) -> String {
    id(&w.make(token, "/networks", json!({"network": {}})).await)
}

#[tokio::test]
async fn a_pool_from_birth_to_death() {
    for w in worlds().await {
        let body = json!({"subnetpool": {"name": "p", "prefixes": ["10.1.1.0/24", "10.1.0.0/24", "10.9.0.0/16"],
            "default_prefixlen": 26, "min_prefixlen": "24", "tags": ["x"]}});
        let p = w.make("demo", "/subnetpools", body).await;
        let path = format!("/subnetpools/{}", id(&p));
        assert_eq!(p["prefixes"], json!(["10.1.0.0/23", "10.9.0.0/16"]), "neighbours are merged");
        assert_eq!(
            (&p["ip_version"], &p["default_prefixlen"], &p["min_prefixlen"], &p["max_prefixlen"]),
            (&json!(4), &json!("26"), &json!("24"), &json!("32"))
        );
        assert_eq!(
            (&p["shared"], &p["is_default"], &p["tags"]),
            (&json!(false), &json!(false), &json!(["x"]))
        );
        w.refused("other", "GET", &path, Value::Null, 404, "SubnetPoolNotFound").await;
        for (body, status, kind) in [
            (json!({"prefixes": ["10.1.0.0/24"]}), 400, "IllegalSubnetPoolPrefixUpdate"),
            (json!({"min_prefixlen": 30}), 400, "IllegalSubnetPoolPrefixBounds"),
            (json!({"max_prefixlen": 25}), 400, "IllegalSubnetPoolPrefixBounds"),
            (json!({"is_default": true}), 403, "PolicyNotAuthorized"),
            (json!({"ip_version": 4}), 400, "HTTPBadRequest"),
        ] {
            w.refused("demo", "PUT", &path, json!({"subnetpool": body}), status, kind).await;
        }
        let up = json!({"subnetpool": {"name": "q", "prefixes": ["10.1.0.0/16", "10.9.0.0/16"], "default_quota": 512}});
        let p = w.put("demo", &path, up).await;
        assert_eq!(p["subnetpool"]["prefixes"], json!(["10.1.0.0/16", "10.9.0.0/16"]));

        let n = network(&w, "demo").await;
        let s = json!({"subnet": {"network_id": n, "ip_version": 4, "subnetpool_id": p["subnetpool"]["id"]}});
        let s = w.make("demo", "/subnets", s).await;
        assert_eq!((&s["cidr"], &s["gateway_ip"]), (&json!("10.1.0.0/26"), &json!("10.1.0.1")));
        assert_eq!(s["subnetpool_id"], p["subnetpool"]["id"]);
        let found = w.get("demo", &format!("/subnets?subnetpool_id={}", id(&p["subnetpool"]))).await;
        assert_eq!(found["subnets"].as_array().unwrap().len(), 1);
        w.refused("demo", "DELETE", &path, Value::Null, 400, "SubnetPoolDeleteError").await;

        let grown =
            w.put("demo", &format!("{path}/add_prefixes"), json!({"prefixes": ["10.2.0.0/16"]})).await;
        assert_eq!(grown["prefixes"], json!(["10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16"]));
        let less = format!("{path}/remove_prefixes");
        let kind = "IllegalSubnetPoolPrefixUpdate";
        w.refused("demo", "PUT", &less, json!({"prefixes": ["10.1.0.0/24"]}), 400, kind).await;
        w.refused("demo", "PUT", &less, json!({"prefixes": ["10.3.0.0/24"]}), 400, kind).await;
        let shrunk = w.put("demo", &less, json!({"prefixes": ["10.2.0.0/16", "10.9.128.0/17"]})).await;
        assert_eq!(shrunk["prefixes"], json!(["10.1.0.0/16", "10.9.0.0/17"]));

        w.remove("demo", &format!("/subnets/{}", id(&s))).await;
        w.remove("demo", &path).await;
        w.refused("demo", "GET", &path, Value::Null, 404, "SubnetPoolNotFound").await;
        assert_eq!(w.used(DEMO, "subnetpool").await, 0);
    }
}

#[tokio::test]
async fn what_a_pool_may_not_be() {
    for w in worlds().await {
        w.first_start().await;
        for (token, body, status, kind) in [
            ("demo", json!({}), 400, "HTTPBadRequest"),
            ("demo", json!({"prefixes": []}), 400, "EmptySubnetPoolPrefixList"),
            ("demo", json!({"prefixes": ["nonsense"]}), 400, "InvalidInput"),
            ("demo", json!({"prefixes": ["10.0.0.0/8", "2001:db8::/32"]}), 400, "PrefixVersionMismatch"),
            ("demo", json!({"prefixes": ["0.0.0.0/0"]}), 400, "UnsupportedMinSubnetPoolPrefix"),
            (
                "demo",
                json!({"prefixes": ["10.0.0.0/8"], "min_prefixlen": 33}),
                400,
                "IllegalSubnetPoolPrefixBounds",
            ),
            (
                "demo",
                json!({"prefixes": ["10.0.0.0/8"], "max_prefixlen": 64}),
                400,
                "IllegalSubnetPoolPrefixBounds",
            ),
            ("demo", json!({"prefixes": ["10.0.0.0/8"], "default_quota": -1}), 400, "InvalidInput"),
            ("demo", json!({"prefixes": ["10.0.0.0/8"], "shared": true}), 403, "PolicyNotAuthorized"),
            ("demo", json!({"prefixes": ["10.0.0.0/8"], "is_default": true}), 403, "PolicyNotAuthorized"),
            ("admin", json!({"prefixes": ["10.0.0.0/8"], "is_default": true}), 400, "InvalidInput"),
            (
                "demo",
                json!({"prefixes": ["10.0.0.0/8"], "address_scope_id": "x"}),
                404,
                "AddressScopeNotFound",
            ),
        ] {
            w.refused(token, "POST", "/subnetpools", json!({"subnetpool": body}), status, kind).await;
        }
        // One prefix alone, as tempest sends it.
        let p = w.make("demo", "/subnetpools", json!({"subnetpool": {"prefixes": "10.100.0.0/16"}})).await;
        assert_eq!(p["prefixes"], json!(["10.100.0.0/16"]));
        assert_eq!(w.used(DEMO, "subnetpool").await, 1);
    }
}

#[tokio::test]
async fn subnets_from_pools() {
    for w in worlds().await {
        let four = json!({"prefixes": ["10.4.0.0/22"], "default_prefixlen": 24, "min_prefixlen": 23,
            "max_prefixlen": 28, "default_quota": 700});
        let p = pool(&w, "demo", four).await;
        let from = |n: &str, extra: Value| {
            let mut s = json!({"network_id": n, "ip_version": 4, "subnetpool_id": p});
            s.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({"subnet": s})
        };
        let n = network(&w, "demo").await;
        for (extra, status, kind) in [
            (json!({"prefixlen": 22}), 400, "MinPrefixSubnetAllocationError"),
            (json!({"prefixlen": 29}), 400, "MaxPrefixSubnetAllocationError"),
            (json!({"cidr": "10.5.0.0/24"}), 409, "SubnetAllocationError"),
            (json!({"cidr": "10.4.0.0/24", "prefixlen": 24}), 400, "BadRequest"),
            (json!({"ip_version": 6}), 400, "BadRequest"),
            (json!({"use_default_subnetpool": true}), 400, "BadRequest"),
            (json!({"subnetpool_id": SubnetPoolId::new()}), 404, "SubnetPoolNotFound"),
        ] {
            w.refused("demo", "POST", "/subnets", from(&n, extra), status, kind).await;
        }
        let chosen = w.make("demo", "/subnets", from(&n, json!({"cidr": "10.4.1.0/24"}))).await;
        assert_eq!(chosen["cidr"], "10.4.1.0/24");
        let other = network(&w, "demo").await;
        w.refused(
            "demo",
            "POST",
            "/subnets",
            from(&other, json!({"cidr": "10.4.1.128/25"})),
            409,
            "SubnetAllocationError",
        )
        .await;
        assert_eq!(w.make("demo", "/subnets", from(&n, json!({}))).await["cidr"], "10.4.0.0/24");
        // 512 of 700 addresses are gone, so that there is room and no right to it.
        w.refused("demo", "POST", "/subnets", from(&n, json!({})), 409, "SubnetPoolQuotaExceeded").await;
        assert_eq!(
            w.make("demo", "/subnets", from(&n, json!({"prefixlen": 25}))).await["cidr"],
            "10.4.2.0/25"
        );
        // Subnets of one network have one origin.
        let plain = json!({"subnet": {"network_id": n, "ip_version": 4, "cidr": "192.0.2.0/24"}});
        w.refused("demo", "POST", "/subnets", plain, 400, "NetworkSubnetPoolAffinityError").await;

        let six = pool(&w, "demo", json!({"prefixes": ["2001:db8::/62"], "default_quota": 3})).await;
        let v6 = json!({"subnet": {"network_id": n, "ip_version": 6, "subnetpool_id": six,
            "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}});
        for cidr in ["2001:db8::/64", "2001:db8:0:1::/64", "2001:db8:0:2::/64"] {
            assert_eq!(w.make("demo", "/subnets", v6.clone()).await["cidr"], cidr);
        }
        w.refused("demo", "POST", "/subnets", v6.clone(), 409, "SubnetPoolQuotaExceeded").await;
        let free = json!({"subnetpool": {"default_quota": null}});
        assert_eq!(
            w.put("demo", &format!("/subnetpools/{six}"), free).await["subnetpool"]["default_quota"],
            Value::Null
        );
        w.make("demo", "/subnets", v6.clone()).await;
        w.refused("demo", "POST", "/subnets", v6, 409, "SubnetAllocationError").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_prefix_is_given_once_to_many() {
    for w in worlds().await {
        let p = pool(&w, "demo", json!({"prefixes": ["10.6.0.0/20"], "default_prefixlen": 24})).await;
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (w, p) = (w.clone(), p.clone());
                tokio::spawn(async move {
                    let n = network(&w, "demo").await;
                    let s = json!({"subnet": {"network_id": n, "ip_version": 4, "subnetpool_id": p}});
                    w.make("demo", "/subnets", s).await["cidr"].as_str().unwrap().to_owned()
                })
            })
            .collect();
        let mut all = std::collections::BTreeSet::new();
        for t in tasks {
            assert!(all.insert(t.await.unwrap()));
        }
        assert_eq!(all.len(), 16, "exactly what the pool has");
        let n = network(&w, "demo").await;
        let one_more = json!({"subnet": {"network_id": n, "ip_version": 4, "subnetpool_id": p}});
        w.refused("demo", "POST", "/subnets", one_more, 409, "SubnetAllocationError").await;
    }
}

#[tokio::test]
async fn the_default_pools() {
    for w in worlds().await {
        let n = network(&w, "demo").await;
        let s =
            |v: i64| json!({"subnet": {"network_id": n, "ip_version": v, "use_default_subnetpool": true}});
        w.refused("demo", "POST", "/subnets", s(4), 400, "BadRequest").await;
        w.first_start().await;
        w.first_start().await;
        let all = w.get("demo", "/subnetpools?is_default=true&shared=true&sort_key=ip_version").await;
        assert_eq!(all["subnetpools"].as_array().unwrap().len(), 2, "everybody sees them");
        assert_eq!(w.make("demo", "/subnets", s(4)).await["cidr"], "10.128.0.0/24");
        let six = w.make("demo", "/subnets", s(6)).await;
        assert!(
            six["cidr"].as_str().unwrap().starts_with("fd") && six["cidr"].as_str().unwrap().ends_with("/64")
        );
        let path = format!("/subnetpools/{}", all["subnetpools"][0]["id"].as_str().unwrap());
        w.refused("demo", "PUT", &path, json!({"subnetpool": {"name": "mine"}}), 403, "PolicyNotAuthorized")
            .await;
        let off = json!({"subnetpool": {"is_default": false}});
        assert_eq!(w.put("admin", &path, off).await["subnetpool"]["is_default"], false);
        assert_eq!(w.used(ADMIN, "subnetpool").await, 2);
    }
}

#[tokio::test]
async fn scopes_keep_prefixes_apart() {
    for w in worlds().await {
        let scope = |v: i64| json!({"address_scope": {"name": "s", "ip_version": v}});
        let s = w.make("demo", "/address-scopes", scope(4)).await;
        let path = format!("/address-scopes/{}", id(&s));
        assert_eq!((&s["ip_version"], &s["shared"]), (&json!(4), &json!(false)));
        w.refused("demo", "POST", "/address-scopes", scope(5), 400, "InvalidInput").await;
        let share = json!({"address_scope": {"shared": true}});
        w.refused("demo", "PUT", &path, share, 403, "PolicyNotAuthorized").await;
        let up = json!({"address_scope": {"name": "t"}});
        assert_eq!(w.put("demo", &path, up).await["address_scope"]["name"], "t");

        let one = pool(&w, "demo", json!({"prefixes": ["10.0.0.0/16"], "address_scope_id": s["id"]})).await;
        let body = |prefix: &str| json!({"subnetpool": {"prefixes": [prefix], "address_scope_id": s["id"]}});
        w.refused("demo", "POST", "/subnetpools", body("10.0.128.0/17"), 409, "AddressScopePrefixConflict")
            .await;
        let kind = "IllegalSubnetPoolIpVersionAssociationToAddressScope";
        w.refused("demo", "POST", "/subnetpools", body("2001:db8::/48"), 400, kind).await;
        w.refused("other", "POST", "/subnetpools", body("10.7.0.0/16"), 404, "AddressScopeNotFound").await;
        let two = pool(&w, "demo", json!({"prefixes": ["10.1.0.0/16"], "address_scope_id": s["id"]})).await;
        let more = json!({"prefixes": ["10.0.4.0/24"]});
        w.refused(
            "demo",
            "PUT",
            &format!("/subnetpools/{two}/add_prefixes"),
            more,
            409,
            "AddressScopePrefixConflict",
        )
        .await;
        let loose = pool(&w, "demo", json!({"prefixes": ["10.0.0.0/24"]})).await;
        let join = json!({"subnetpool": {"address_scope_id": s["id"]}});
        w.refused("demo", "PUT", &format!("/subnetpools/{loose}"), join, 409, "AddressScopePrefixConflict")
            .await;
        w.refused("demo", "DELETE", &path, Value::Null, 409, "AddressScopeInUse").await;

        // A network is in the scope of its subnets' pools, which may be several of one scope.
        let n = network(&w, "demo").await;
        for p in [&one, &two] {
            let s =
                json!({"subnet": {"network_id": n, "ip_version": 4, "subnetpool_id": p, "prefixlen": 24}});
            w.make("demo", "/subnets", s).await;
        }
        let out = json!({"subnet": {"network_id": n, "ip_version": 4, "cidr": "192.0.2.0/24"}});
        w.refused("demo", "POST", "/subnets", out, 400, "NetworkAddressScopeAffinityError").await;
        let shown = w.get("demo", &format!("/networks/{n}")).await;
        assert_eq!(
            (&shown["network"]["ipv4_address_scope"], &shown["network"]["ipv6_address_scope"]),
            (&s["id"], &Value::Null)
        );
        w.remove("demo", &format!("/networks/{n}")).await;
        w.put("demo", &format!("/subnetpools/{one}"), json!({"subnetpool": {"address_scope_id": null}}))
            .await;
        w.remove("demo", &format!("/subnetpools/{one}")).await;
        w.remove("demo", &format!("/subnetpools/{two}")).await;
        w.remove("demo", &path).await;
        assert_eq!(w.used(DEMO, "address_scope").await, 0);
    }
}

#[tokio::test]
async fn a_network_is_taken_on_board() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.8.0.0/24").await;
        let p = pool(&w, "demo", json!({"prefixes": ["10.9.0.0/24"]})).await;
        let path = format!("/subnetpools/{p}/onboard_network_subnets");
        let body = json!({"network_id": n});
        let foreign = pool(&w, "other", json!({"prefixes": ["10.9.0.0/24"]})).await;
        let far = format!("/subnetpools/{foreign}/onboard_network_subnets");
        w.refused("demo", "PUT", &far, body.clone(), 404, "SubnetPoolNotFound").await;
        w.refused("other", "PUT", &far, body.clone(), 404, "NetworkNotFound").await;
        w.put("demo", &path, body.clone()).await;
        let pool = w.get("demo", &format!("/subnetpools/{p}")).await;
        assert_eq!(pool["subnetpool"]["prefixes"], json!(["10.8.0.0/24", "10.9.0.0/24"]));
        assert_eq!(w.get("demo", &format!("/subnets/{s}")).await["subnet"]["subnetpool_id"], json!(p));
        w.refused("demo", "PUT", &path, body, 400, "IllegalSubnetPoolPrefixUpdate").await;
        let taken =
            json!({"subnet": {"network_id": n, "ip_version": 4, "subnetpool_id": p, "cidr": "10.8.0.0/25"}});
        w.refused("demo", "POST", "/subnets", taken, 409, "SubnetAllocationError").await;
        assert_eq!(w.used(OTHER, "subnetpool").await, 1);
    }
}

#[test]
fn prefixes_as_arithmetic() {
    let net = |t: &str| t.parse::<IpNet>().unwrap();
    let nets = |t: &[&str]| t.iter().map(|t| net(t)).collect::<Vec<_>>();
    for (prefixes, taken, len, expected) in [
        (vec!["10.0.0.0/22"], vec![], 24, Some("10.0.0.0/24")),
        (vec!["10.0.0.0/22"], vec!["10.0.0.0/24"], 24, Some("10.0.1.0/24")),
        (vec!["10.0.0.0/22"], vec!["10.0.0.64/26"], 24, Some("10.0.1.0/24")),
        (vec!["10.0.0.0/22"], vec!["10.0.0.64/26"], 26, Some("10.0.0.0/26")),
        (vec!["10.0.0.0/22"], vec!["10.0.0.0/26", "10.0.0.64/26"], 25, Some("10.0.0.128/25")),
        (vec!["10.0.0.0/22"], vec!["10.0.0.0/23", "10.0.2.0/23"], 26, None),
        (vec!["10.0.0.0/22"], vec!["10.0.1.0/24"], 23, Some("10.0.2.0/23")),
        (vec!["10.0.0.0/22"], vec![], 21, None),
        (vec!["10.0.0.0/16", "192.0.2.0/24"], vec![], 25, Some("192.0.2.0/25")),
        (vec!["255.255.255.0/24"], vec!["255.255.255.0/25"], 25, Some("255.255.255.128/25")),
        (vec!["255.255.255.0/24"], vec!["255.255.255.0/24"], 25, None),
        (vec!["2001:db8::/48"], vec!["2001:db8::/64"], 64, Some("2001:db8:0:1::/64")),
        (vec!["ffff::/16"], vec!["ffff::/17", "ffff:8000::/17"], 64, None),
    ] {
        let got = free_prefix(&nets(&prefixes), &nets(&taken), len);
        assert_eq!(got, expected.map(net), "{prefixes:?} without {taken:?} for /{len}");
    }
    assert_eq!(minus(&net("10.0.0.0/22"), &net("10.0.1.0/24")), nets(&["10.0.0.0/24", "10.0.2.0/23"]));
    assert_eq!(minus(&net("10.0.0.0/22"), &net("10.0.0.0/8")), nets(&[]));
    assert_eq!(minus(&net("10.0.0.0/22"), &net("10.1.0.0/24")), nets(&["10.0.0.0/22"]));
}
