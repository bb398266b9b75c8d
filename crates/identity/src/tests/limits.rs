//! Limits, endpoint filters, domain configuration, policies, and the logs.

use super::{DEMO, World, password, project, worlds};
use serde_json::{Value, json};

async fn first_service(w: &World, admin: &str) -> String {
    let found = w.call("GET", "/v3/services?type=compute", admin, ()).await.of(200);
    found["services"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn limits_stand_over_registered_ones() {
    for w in worlds().await {
        let (admin, demo) = (w.admin().await, w.demo().await);
        let service = first_service(&w, &admin).await;
        let all = "/v3/registered_limits";
        let new = json!({"registered_limits": [
            {"service_id": service, "region_id": "RegionOne", "resource_name": "volume", "default_limit": 10},
            {"service_id": service, "resource_name": "snapshot", "default_limit": -1, "description": "many"},
        ]});
        let made = w.call("POST", all, &admin, new.clone()).await.of(201);
        let ids: Vec<_> =
            made["registered_limits"].as_array().unwrap().iter().map(|r| r["id"].clone()).collect();
        assert_eq!(made["registered_limits"][1]["region_id"], Value::Null);
        w.call("POST", all, &admin, new).await.of(409);
        for bad in [
            json!({"service_id": "nothing", "resource_name": "x", "default_limit": 1}),
            json!({"service_id": service, "region_id": "nowhere", "resource_name": "x", "default_limit": 1}),
            json!({"service_id": service, "resource_name": "x", "default_limit": -2}),
            json!({"service_id": service, "resource_name": "x"}),
        ] {
            let body = json!({"registered_limits": [bad]});
            assert_eq!(w.call("POST", all, &admin, body).await.status, 400, "{bad}");
        }
        w.call("POST", all, &admin, json!({"registered_limits": []})).await.of(400);
        let listed = w.call("GET", &format!("{all}?resource_name=volume"), &demo, ()).await.of(200);
        assert_eq!(listed["registered_limits"].as_array().unwrap().len(), 1, "anybody may look");
        let one = format!("{all}/{}", ids[0].as_str().unwrap());
        let limit = |project: &Value, region: &str, n: i64| {
            json!({"limits": [{"service_id": service, "region_id": region, "resource_name": "volume",
                "project_id": project, "resource_limit": n}]})
        };
        let mine = json!(w.seed.demo);
        let made = w.call("POST", "/v3/limits", &admin, limit(&mine, "RegionOne", 5)).await.of(201);
        let id = made["limits"][0]["id"].as_str().unwrap().to_owned();
        w.call("POST", "/v3/limits", &admin, limit(&mine, "RegionOne", 6)).await.of(409);
        w.call("POST", "/v3/limits", &admin, limit(&mine, "elsewhere", 6)).await.of(403);
        w.call("POST", "/v3/limits", &admin, limit(&json!("nothing"), "RegionOne", 6)).await.of(404);
        w.call("POST", "/v3/limits", &admin, limit(&json!(w.seed.admin), "RegionOne", 7)).await.of(201);
        let domain = json!({"limits": [{"service_id": service, "resource_name": "snapshot",
            "domain_id": "default", "resource_limit": 3}]});
        w.call("POST", "/v3/limits", &admin, domain).await.of(201);
        let count = |body: Value| body["limits"].as_array().unwrap().len();
        assert_eq!(count(w.call("GET", "/v3/limits", &admin, ()).await.of(200)), 3);
        assert_eq!(count(w.call("GET", "/v3/limits?resource_name=snapshot", &admin, ()).await.of(200)), 1);
        assert_eq!(count(w.call("GET", "/v3/limits", &demo, ()).await.of(200)), 1, "one's own");
        w.call("GET", &format!("/v3/limits/{id}"), &demo, ()).await.of(200);
        w.call("GET", "/v3/limits/nothing", &demo, ()).await.of(403);
        w.call("GET", "/v3/limits/nothing", &admin, ()).await.of(404);
        let change = json!({"limit": {"resource_limit": 8, "description": "more"}});
        let changed = w.call("PATCH", &format!("/v3/limits/{id}"), &admin, change).await.of(200);
        assert_eq!(
            (&changed["limit"]["resource_limit"], &changed["limit"]["description"]),
            (&json!(8), &json!("more"))
        );
        w.call("PATCH", &one, &admin, json!({"registered_limit": {"resource_name": "other"}})).await.of(403);
        let changed =
            w.call("PATCH", &one, &admin, json!({"registered_limit": {"default_limit": 11}})).await.of(200);
        assert_eq!(changed["registered_limit"]["default_limit"], 11);
        w.call("DELETE", &one, &admin, ()).await.of(403);
        for path in ["/v3/limits", all] {
            let plural = path.trim_start_matches("/v3/");
            for l in w.call("GET", path, &admin, ()).await.of(200)[plural].as_array().unwrap() {
                w.call("DELETE", &format!("{path}/{}", l["id"].as_str().unwrap()), &admin, ()).await.of(204);
            }
        }
        let model = w.call("GET", "/v3/limits/model", &demo, ()).await.of(200);
        assert_eq!(model["model"]["name"], "flat");
    }
}

#[tokio::test]
async fn a_service_goes_with_its_limits() {
    for w in worlds().await {
        let admin = w.admin().await;
        let made = w.call("POST", "/v3/services", &admin, json!({"service": {"type": "x"}})).await.of(201);
        let id = made["service"]["id"].as_str().unwrap();
        let new = json!({"service_id": id, "resource_name": "a", "default_limit": 1});
        w.call("POST", "/v3/registered_limits", &admin, json!({"registered_limits": [new]})).await.of(201);
        let own =
            json!({"service_id": id, "resource_name": "a", "resource_limit": 1, "domain_id": "default"});
        w.call("POST", "/v3/limits", &admin, json!({"limits": [own]})).await.of(201);
        w.call("DELETE", &format!("/v3/services/{id}"), &admin, ()).await.of(204);
        let left = w.call("GET", "/v3/limits", &admin, ()).await.of(200);
        assert_eq!(left["limits"], json!([]));
    }
}

/// The types of the services that a new token of demo has endpoints of.
async fn catalog(w: &World) -> Vec<String> {
    let auth = json!({"identity": password("demo", DEMO), "scope": project("demo")});
    let body = w.login(auth).await.of(201);
    let with = body["token"]["catalog"].as_array().unwrap().iter();
    let with = with.filter(|s| !s["endpoints"].as_array().unwrap().is_empty());
    with.map(|s| s["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_project_has_the_endpoints_that_it_was_given() {
    for w in worlds().await {
        let admin = w.admin().await;
        let everything = catalog(&w).await;
        assert!(everything.len() > 2);
        let service = first_service(&w, &admin).await;
        let root = "/v3/OS-EP-FILTER";
        let body = |filters: Value| json!({"endpoint_group": {"name": "computing", "filters": filters}});
        for bad in [json!({}), json!({"color": "red"}), json!({"service_id": 1})] {
            w.call("POST", &format!("{root}/endpoint_groups"), &admin, body(bad)).await.of(400);
        }
        let made = body(json!({"service_id": service, "interface": "public"}));
        let made = w.call("POST", &format!("{root}/endpoint_groups"), &admin, made).await.of(201);
        let group = format!("{root}/endpoint_groups/{}", made["endpoint_group"]["id"].as_str().unwrap());
        w.call("HEAD", &group, &admin, ()).await.of(200);
        let members = w.call("GET", &format!("{group}/endpoints"), &admin, ()).await.of(200);
        assert_eq!(members["endpoints"].as_array().unwrap().len(), 1);
        let given = format!("{group}/projects/{}", w.seed.demo);
        w.call("HEAD", &given, &admin, ()).await.of(404);
        w.call("PUT", &given, &admin, ()).await.of(204);
        w.call("GET", &given, &admin, ()).await.of(200);
        w.call("PUT", &format!("{group}/projects/nothing"), &admin, ()).await.of(404);
        assert_eq!(catalog(&w).await, ["compute"]);
        let own = format!("{root}/projects/{}", w.seed.demo);
        let image =
            w.call("GET", "/v3/services?type=image", &admin, ()).await.of(200)["services"][0]["id"].clone();
        let path = format!("/v3/endpoints?service_id={}", image.as_str().unwrap());
        let found = w.call("GET", &path, &admin, ()).await.of(200);
        let endpoint = found["endpoints"][0]["id"].as_str().unwrap().to_owned();
        let one = format!("{own}/endpoints/{endpoint}");
        w.call("HEAD", &one, &admin, ()).await.of(404);
        w.call("PUT", &one, &admin, ()).await.of(204);
        w.call("HEAD", &one, &admin, ()).await.of(204);
        assert_eq!(catalog(&w).await, ["compute", "image"]);
        let listed = w.call("GET", &format!("{own}/endpoints"), &admin, ()).await.of(200);
        assert_eq!(listed["endpoints"].as_array().unwrap().len(), 2);
        let listed = w.call("GET", &format!("{own}/endpoint_groups"), &admin, ()).await.of(200);
        assert_eq!(listed["endpoint_groups"][0]["name"], "computing");
        for path in [format!("{group}/projects"), format!("{root}/endpoints/{endpoint}/projects")] {
            let listed = w.call("GET", &path, &admin, ()).await.of(200);
            assert_eq!(listed["projects"][0]["id"], json!(w.seed.demo));
        }
        w.call("DELETE", &one, &admin, ()).await.of(204);
        w.call("DELETE", &one, &admin, ()).await.of(404);
        w.call("DELETE", &group, &admin, ()).await.of(204);
        assert_eq!(catalog(&w).await, everything, "without any, all are there again");
    }
}

#[tokio::test]
async fn a_domain_is_configured_with_what_is_true() {
    for w in worlds().await {
        let admin = w.admin().await;
        let body = w.call("POST", "/v3/domains", &admin, json!({"domain": {"name": "west"}})).await.of(201);
        let west = body["domain"]["id"].as_str().unwrap().to_owned();
        let path = format!("/v3/domains/{west}/config");
        let default = w.call("GET", "/v3/domains/config/default", &admin, ()).await.of(200);
        assert_eq!(default["config"], json!({"identity": {"driver": "sql", "list_limit": null}, "ldap": {}}));
        let one = w.call("GET", "/v3/domains/config/identity/driver/default", &admin, ()).await.of(200);
        assert_eq!(one["config"], json!({"driver": "sql"}));
        w.call("GET", "/v3/domains/config/nothing/default", &admin, ()).await.of(403);
        w.call("GET", &path, &admin, ()).await.of(404);
        w.call("PATCH", &path, &admin, json!({"config": {"identity": {"list_limit": 1}}})).await.of(404);
        for bad in [
            json!({"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://directory"}}),
            json!({"identity": {"driver": "ldap"}}),
            json!({"identity": {"color": "red"}}),
        ] {
            let refused = w.call("PUT", &path, &admin, json!({"config": bad})).await.of(403);
            assert!(refused["error"]["message"].as_str().unwrap().contains("is not supported"), "{refused}");
        }
        w.call("PUT", &path, &admin, json!({"config": {"identity": {"list_limit": 0}}})).await.of(400);
        let full = json!({"config": {"identity": {"driver": "sql", "list_limit": 2}}});
        assert_eq!(w.call("PUT", &path, &admin, full.clone()).await.of(201), full);
        w.call("PUT", &path, &admin, full.clone()).await.of(200);
        assert_eq!(w.call("GET", &format!("{path}/identity"), &admin, ()).await.of(200), full);
        for name in ["a", "b", "c"] {
            let user = json!({"user": {"name": name, "domain_id": west}});
            w.call("POST", "/v3/users", &admin, user).await.of(201);
        }
        let listed = w.call("GET", &format!("/v3/users?domain_id={west}"), &admin, ()).await.of(200);
        assert_eq!(listed["users"].as_array().unwrap().len(), 2);
        assert_eq!(listed["truncated"], true);
        let more = json!({"config": {"list_limit": 3}});
        let option = format!("{path}/identity/list_limit");
        let changed = w.call("PATCH", &option, &admin, more.clone()).await.of(200);
        assert_eq!(changed["config"]["identity"]["list_limit"], 3);
        w.call("PATCH", &option, &admin, json!({"config": {"driver": "sql"}})).await.of(403);
        assert_eq!(w.call("GET", &option, &admin, ()).await.of(200), more);
        w.call("DELETE", &option, &admin, ()).await.of(204);
        w.call("GET", &option, &admin, ()).await.of(404);
        w.call("PATCH", &option, &admin, more).await.of(404);
        let listed = w.call("GET", &format!("/v3/users?domain_id={west}"), &admin, ()).await.of(200);
        assert_eq!(listed["users"].as_array().unwrap().len(), 3);
        w.call("GET", &format!("{path}/ldap"), &admin, ()).await.of(404);
        w.call("DELETE", &path, &admin, ()).await.of(204);
        w.call("DELETE", &path, &admin, ()).await.of(204);
    }
}

#[tokio::test]
async fn policies_are_kept() {
    for w in worlds().await {
        let admin = w.admin().await;
        let new = json!({"policy": {"type": "application/json", "blob": "{}", "color": "red"}});
        let made = w.call("POST", "/v3/policies", &admin, new).await.of(201);
        let path = format!("/v3/policies/{}", made["policy"]["id"].as_str().unwrap());
        assert_eq!(made["policy"]["blob"], "{}");
        let changed = w.call("PATCH", &path, &admin, json!({"policy": {"blob": "text"}})).await.of(200);
        assert_eq!(
            (&changed["policy"]["blob"], &changed["policy"]["color"]),
            (&json!("text"), &json!("red"))
        );
        w.call("POST", "/v3/policies", &admin, json!({"policy": {"type": "x"}})).await.of(400);
        let listed = w.call("GET", "/v3/policies?type=application/json", &admin, ()).await.of(200);
        assert_eq!(listed["policies"].as_array().unwrap().len(), 1);
        w.call("DELETE", &path, &admin, ()).await.of(204);
        w.call("GET", &path, &admin, ()).await.of(404);
    }
}

#[tokio::test]
async fn limits_of_the_image_service_are_its_quotas() {
    for w in worlds().await {
        let admin = w.admin().await;
        let found = w.call("GET", "/v3/services?type=image", &admin, ()).await.of(200);
        let service = found["services"][0]["id"].as_str().unwrap().to_owned();
        let quota = async |n: i64| {
            let demo = w.seed.demo.clone();
            let read = w.db.read(move |tx| store::quota::usage(tx, &demo, "image_count_total", 100));
            assert_eq!(read.await.unwrap().max, n);
        };
        quota(100).await;
        let registered =
            json!({"service_id": service, "resource_name": "image_count_total", "default_limit": 7});
        let made =
            w.call("POST", "/v3/registered_limits", &admin, json!({"registered_limits": [registered]}));
        let made = made.await.of(201)["registered_limits"][0]["id"].as_str().unwrap().to_owned();
        quota(7).await;
        let limit = json!({"service_id": service, "resource_name": "image_count_total",
            "project_id": w.seed.demo, "resource_limit": 2});
        let own = w.call("POST", "/v3/limits", &admin, json!({"limits": [limit]})).await.of(201);
        let own = format!("/v3/limits/{}", own["limits"][0]["id"].as_str().unwrap());
        quota(2).await;
        w.call("PATCH", &own, &admin, json!({"limit": {"resource_limit": 3}})).await.of(200);
        quota(3).await;
        w.call("DELETE", &own, &admin, ()).await.of(204);
        quota(7).await;
        let path = format!("/v3/registered_limits/{made}");
        w.call("PATCH", &path, &admin, json!({"registered_limit": {"default_limit": -1}})).await.of(200);
        quota(-1).await;
        w.call("DELETE", &path, &admin, ()).await.of(204);
        quota(100).await;
    }
}

#[tokio::test]
async fn of_several_limits_those_that_remain_count() {
    for w in worlds().await {
        let admin = w.admin().await;
        let found = w.call("GET", "/v3/services?type=image", &admin, ()).await.of(200);
        let service = found["services"][0]["id"].as_str().unwrap().to_owned();
        w.call("POST", "/v3/regions", &admin, json!({"region": {"id": "elsewhere"}})).await.of(201);
        let quota = async |n: i64| {
            let demo = w.seed.demo.clone();
            let read = w.db.read(move |tx| store::quota::usage(tx, &demo, "image_count_total", 100));
            assert_eq!(read.await.unwrap().max, n);
        };
        let make = async |plural: &str, body: Value| {
            let mut new = json!({"service_id": service, "resource_name": "image_count_total"});
            new.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            let path = format!("/v3/{plural}");
            let made = w.call("POST", &path, &admin, json!({plural: [new]})).await.of(201);
            format!("{path}/{}", made[plural][0]["id"].as_str().unwrap())
        };
        let gone = async |path: &str| drop(w.call("DELETE", path, &admin, ()).await.of(204));
        let every = make("registered_limits", json!({"default_limit": 7})).await;
        let far = make("registered_limits", json!({"default_limit": 8, "region_id": "elsewhere"})).await;
        quota(7).await;
        let here = make("registered_limits", json!({"default_limit": 9, "region_id": "RegionOne"})).await;
        quota(9).await;
        let own = |n: i64, region: Value| json!({"resource_limit": n, "region_id": region, "project_id": w.seed.demo});
        let mine = make("limits", own(1, Value::Null)).await;
        let mine_far = make("limits", own(2, json!("elsewhere"))).await;
        quota(1).await;
        let mine_here = make("limits", own(3, json!("RegionOne"))).await;
        quota(3).await;
        w.call("PATCH", &mine, &admin, json!({"limit": {"resource_limit": 4}})).await.of(200);
        quota(3).await;
        gone(&mine_far).await;
        gone(&far).await;
        quota(3).await;
        gone(&mine_here).await;
        quota(4).await;
        gone(&here).await;
        gone(&mine).await;
        quota(7).await;
        let moved = json!({"registered_limit": {"resource_name": "image_size_total"}});
        w.call("PATCH", &every, &admin, moved).await.of(200);
        quota(100).await;
    }
}

#[tokio::test]
async fn quotas_end_with_the_image_service_that_they_are_of() {
    for w in worlds().await {
        let admin = w.admin().await;
        let found = w.call("GET", "/v3/services?type=image", &admin, ()).await.of(200);
        let service = found["services"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/v3/services/{service}");
        let of = json!({"service_id": service, "resource_name": "image_count_total"});
        let with = |more: Value| {
            let mut all = of.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let new = json!({"registered_limits": [with(json!({"default_limit": 7}))]});
        w.call("POST", "/v3/registered_limits", &admin, new).await.of(201);
        let new = json!({"limits": [with(json!({"resource_limit": 2, "project_id": w.seed.demo}))]});
        w.call("POST", "/v3/limits", &admin, new).await.of(201);
        let quotas = async |demo: i64, admins: i64| {
            for (project, n) in [(w.seed.demo.clone(), demo), (w.seed.admin.clone(), admins)] {
                let read = w.db.read(move |tx| store::quota::usage(tx, &project, "image_count_total", 100));
                assert_eq!(read.await.unwrap().max, n);
            }
        };
        quotas(2, 7).await;
        w.call("PATCH", &path, &admin, json!({"service": {"type": "picture"}})).await.of(200);
        quotas(100, 100).await;
        w.call("PATCH", &path, &admin, json!({"service": {"type": "image"}})).await.of(200);
        quotas(2, 7).await;
        w.call("DELETE", &path, &admin, ()).await.of(204);
        quotas(100, 100).await;

        // Compute has a quota API of its own, which no limit touches.
        let compute = first_service(&w, &admin).await;
        let demo = w.seed.demo.clone();
        w.db.write(move |tx| store::quota::set(tx, &demo, "instances", Some(3))).await.unwrap();
        let new = json!({"service_id": compute, "resource_name": "instances", "default_limit": 7});
        w.call("POST", "/v3/registered_limits", &admin, json!({"registered_limits": [new]})).await.of(201);
        let own = json!({"service_id": compute, "resource_name": "instances", "resource_limit": 1,
            "project_id": w.seed.demo});
        w.call("POST", "/v3/limits", &admin, json!({"limits": [own]})).await.of(201);
        w.call("DELETE", &format!("/v3/services/{compute}"), &admin, ()).await.of(204);
        let demo = w.seed.demo.clone();
        let left = w.db.read(move |tx| store::quota::usage(tx, &demo, "instances", 100));
        assert_eq!(left.await.unwrap().max, 3);
    }
}
