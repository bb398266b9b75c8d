//! Routers.

use super::world::{DEMO, World, worlds};
use serde_json::{Value, json};

async fn public(w: &World) -> String {
    w.first_start().await;
    w.get("demo", "/networks?name=public").await["networks"][0]["id"].as_str().unwrap().to_owned()
}

async fn router(w: &World, token: &str) -> String {
    let r = w.make(token, "/routers", json!({"router": {"name": "r"}})).await;
    format!("/routers/{}", r["id"].as_str().unwrap())
}

#[tokio::test]
async fn interfaces_come_and_go() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.0.0.0/24").await;
        let (_, clash) = w.network("demo", "10.0.0.0/16").await;
        let r = router(&w, "demo").await;
        let (add, remove) = (format!("{r}/add_router_interface"), format!("{r}/remove_router_interface"));
        let v = w.put("demo", &add, json!({"subnet_id": s})).await;
        assert_eq!(
            (&v["subnet_id"], &v["subnet_ids"], &v["network_id"]),
            (&json!(s), &json!([s]), &json!(n))
        );
        assert_eq!((&v["id"], &v["tenant_id"]), (&json!(r.rsplit('/').next().unwrap()), &json!(DEMO)));
        let port = format!("/ports/{}", v["port_id"].as_str().unwrap());
        let p = w.get("demo", &port).await["port"].clone();
        assert_eq!(
            (&p["device_owner"], &p["fixed_ips"][0]["ip_address"]),
            (&json!("network:router_interface"), &json!("10.0.0.1"))
        );
        assert_eq!(w.used(DEMO, "port").await, 1);

        w.refused("demo", "PUT", &add, json!({"subnet_id": s}), 400, "BadRequest").await;
        w.refused("demo", "PUT", &add, json!({"subnet_id": clash}), 400, "BadRequest").await;
        w.refused("demo", "PUT", &add, json!({}), 400, "BadRequest").await;
        w.refused("demo", "PUT", &add, json!({"subnet_id": s, "port_id": p["id"]}), 400, "BadRequest").await;
        w.refused("demo", "PUT", &add, json!({"subnet_id": "x"}), 400, "InvalidInput").await;
        w.refused("demo", "PUT", &add, json!({"subnet_id": base::SubnetId::new()}), 404, "SubnetNotFound")
            .await;
        w.refused("demo", "DELETE", &port, Value::Null, 409, "ServicePortInUse").await;
        w.refused("demo", "PUT", &port, json!({"port": {"device_id": "x"}}), 409, "PortInUse").await;
        w.refused("demo", "DELETE", &r, Value::Null, 409, "RouterInUse").await;
        w.refused("demo", "DELETE", &format!("/subnets/{s}"), Value::Null, 409, "SubnetInUse").await;
        w.refused(
            "demo",
            "PUT",
            &format!("/subnets/{s}"),
            json!({"subnet": {"gateway_ip": "10.0.0.254"}}),
            409,
            "GatewayConflictWithAllocationPools",
        )
        .await;
        w.refused(
            "demo",
            "PUT",
            &format!("/subnets/{s}"),
            json!({"subnet": {"gateway_ip": null}}),
            409,
            "GatewayIpInUse",
        )
        .await;
        w.refused("demo", "PUT", &add, json!({"port_id": p["id"]}), 409, "PortInUse").await;
        let second = router(&w, "demo").await;
        w.refused(
            "demo",
            "PUT",
            &format!("{second}/add_router_interface"),
            json!({"subnet_id": s}),
            409,
            "IpAddressAlreadyAllocated",
        )
        .await;
        w.refused("other", "PUT", &add, json!({"subnet_id": s}), 404, "RouterNotFound").await;

        let routes = json!({"router": {"routes": [{"destination": "10.8.0.0/16", "nexthop": "10.0.0.7"}]}});
        let v = w.put("demo", &format!("{r}/add_extraroutes"), routes.clone()).await;
        assert_eq!(v["router"]["routes"], routes["router"]["routes"]);
        w.refused("demo", "PUT", &remove, json!({"subnet_id": s}), 409, "RouterInterfaceInUseByRoute").await;
        for (destination, nexthop) in [("10.8.0.0/16", "192.0.2.1"), ("10.8.0.0/16", "10.0.0.1")] {
            let bad = json!({"router": {"routes": [{"destination": destination, "nexthop": nexthop}]}});
            w.refused("demo", "PUT", &r, bad, 400, "InvalidRoutes").await;
        }
        let v = w.put("demo", &format!("{r}/remove_extraroutes"), routes).await;
        assert_eq!(v["router"]["routes"], json!([]));

        w.refused(
            "demo",
            "PUT",
            &remove,
            json!({"subnet_id": clash}),
            404,
            "RouterInterfaceNotFoundForSubnet",
        )
        .await;
        w.refused(
            "demo",
            "PUT",
            &remove,
            json!({"port_id": base::PortId::new()}),
            404,
            "RouterInterfaceNotFound",
        )
        .await;
        w.refused(
            "demo",
            "PUT",
            &remove,
            json!({"port_id": p["id"], "subnet_id": clash}),
            409,
            "SubnetMismatchForPort",
        )
        .await;
        let v = w.put("demo", &remove, json!({"port_id": p["id"]})).await;
        assert_eq!(v["subnet_id"], json!(s));
        w.refused("demo", "GET", &port, Value::Null, 404, "PortNotFound").await;
        w.remove("demo", &r).await;
        w.refused("demo", "GET", &r, Value::Null, 404, "RouterNotFound").await;
        assert_eq!((w.used(DEMO, "port").await, w.used(DEMO, "router").await), (0, 1));
    }
}

#[tokio::test]
async fn an_interface_by_a_port_of_ones_own() {
    for w in worlds().await {
        let (n, s) = w.network("demo", "10.0.0.0/24").await;
        let r = router(&w, "demo").await;
        let body = json!({"port": {"network_id": n, "fixed_ips": [{"ip_address": "10.0.0.77"}]}});
        let p = w.make("demo", "/ports", body).await;
        let v = w.put("demo", &format!("{r}/add_router_interface"), json!({"port_id": p["id"]})).await;
        assert_eq!((&v["port_id"], &v["subnet_id"]), (&p["id"], &json!(s)));
        let bare = w.make("demo", "/ports", json!({"port": {"network_id": n, "fixed_ips": []}})).await;
        w.refused(
            "demo",
            "PUT",
            &format!("{r}/add_router_interface"),
            json!({"port_id": bare["id"]}),
            400,
            "BadRequest",
        )
        .await;
        w.put("demo", &format!("{r}/remove_router_interface"), json!({"subnet_id": s})).await;
        assert_eq!(w.count("SELECT COUNT(*) FROM router_interface").await, 0);
    }
}

#[tokio::test]
async fn gateways() {
    for w in worlds().await {
        let public = public(&w).await;
        let r = router(&w, "demo").await;
        let set = |info: Value| json!({"router": {"external_gateway_info": info}});
        let v = w.put("demo", &r, set(json!({"network_id": public}))).await;
        let info = &v["router"]["external_gateway_info"];
        assert_eq!((&info["network_id"], &info["enable_snat"]), (&json!(public), &json!(true)));
        assert!(info["external_fixed_ips"][0]["ip_address"].as_str().unwrap().starts_with("172.24.4."));
        assert_eq!(w.used(DEMO, "port").await, 1, "the first router's interface; gateways are free");
        let private = w.get("demo", "/networks?name=private").await["networks"][0]["id"].clone();
        w.refused("demo", "PUT", &r, set(json!({"network_id": private})), 400, "BadRequest").await;
        w.refused(
            "demo",
            "PUT",
            &r,
            set(json!({"network_id": base::NetworkId::new()})),
            404,
            "NetworkNotFound",
        )
        .await;
        w.refused(
            "demo",
            "PUT",
            &r,
            set(json!({"network_id": public, "enable_snat": false})),
            403,
            "PolicyNotAuthorized",
        )
        .await;
        let free = w.free_public().await;
        let chosen =
            json!({"network_id": public, "enable_snat": false, "external_fixed_ips": [{"ip_address": free}]});
        w.refused("demo", "PUT", &r, set(chosen.clone()), 403, "PolicyNotAuthorized").await;
        let v = w.put("admin", &r, set(chosen)).await;
        let info = &v["router"]["external_gateway_info"];
        assert_eq!(
            (&info["enable_snat"], &info["external_fixed_ips"][0]["ip_address"]),
            (&json!(false), &json!(free))
        );
        let path = format!("/networks/{public}");
        w.refused(
            "admin",
            "PUT",
            &path,
            json!({"network": {"router:external": false}}),
            409,
            "ExternalNetworkInUse",
        )
        .await;
        w.refused("admin", "DELETE", &path, Value::Null, 409, "NetworkInUse").await;
        let v = w.put("demo", &r, set(json!({}))).await;
        assert_eq!(v["router"]["external_gateway_info"], Value::Null);
        assert_eq!(
            w.count("SELECT COUNT(*) FROM port WHERE device_owner = 'network:router_gateway'").await,
            1
        );
        let body =
            json!({"router": {"name": "x", "external_gateway_info": {"network_id": public}, "ha": false}});
        let made = w.make("demo", "/routers", body).await;
        assert_eq!(made["external_gateway_info"]["network_id"], json!(public));
        w.remove("demo", &format!("/routers/{}", made["id"].as_str().unwrap())).await;
        assert_eq!(
            w.count("SELECT COUNT(*) FROM port WHERE device_owner = 'network:router_gateway'").await,
            1
        );
        w.refused("demo", "POST", "/routers", json!({"router": {"distributed": true}}), 400, "InvalidInput")
            .await;
    }
}
