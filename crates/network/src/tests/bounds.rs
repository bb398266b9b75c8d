//! What a project may put into its hosts' documents has an end.

use super::world::worlds;
use crate::act::forward::MAX_FORWARDS;
use serde_json::{Value, json};

#[tokio::test]
async fn a_port_has_a_limited_number_of_dhcp_options() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let options = |from: usize, to: usize| -> Vec<Value> {
            (from..to).map(|i| json!({"opt_name": format!("whatever-{i}"), "opt_value": "x"})).collect()
        };
        let body = json!({"port": {"network_id": n, "extra_dhcp_opts": options(0, 65)}});
        w.refused("demo", "POST", "/ports", body, 400, "InvalidInput").await;
        let body = json!({"port": {"network_id": n, "extra_dhcp_opts": options(0, 40)}});
        let p = w.make("demo", "/ports", body).await;
        let path = format!("/ports/{}", p["id"].as_str().unwrap());
        let put = |list: Vec<Value>| json!({"port": {"extra_dhcp_opts": list}});
        let seen = w.put("demo", &path, put(options(20, 64))).await;
        assert_eq!(seen["port"]["extra_dhcp_opts"].as_array().unwrap().len(), 64);
        w.refused("demo", "PUT", &path, put(options(64, 65)), 400, "InvalidInput").await;
        // Those that are there change and go.
        let mut list = vec![json!({"opt_name": "whatever-0", "opt_value": null})];
        list.extend(options(64, 65));
        list.push(json!({"opt_name": "whatever-1", "opt_value": "y"}));
        let seen = w.put("demo", &path, put(list)).await;
        assert_eq!(seen["port"]["extra_dhcp_opts"].as_array().unwrap().len(), 64);
    }
}

#[tokio::test]
async fn a_port_that_has_more_options_from_before_stays_usable() {
    for w in worlds().await {
        let (n, _) = w.network("demo", "10.0.0.0/24").await;
        let p = w.make("demo", "/ports", json!({"port": {"network_id": n}})).await;
        let id = p["id"].as_str().unwrap().to_owned();
        let path = format!("/ports/{id}");
        let many: Vec<Value> = (0..100)
            .map(|i| json!({"name": format!("whatever-{i}"), "value": "x", "ip_version": 4}))
            .collect();
        let many = Value::Array(many).to_string();
        let sql = "UPDATE port SET dhcp_options = $2 WHERE id = $1";
        w.db.write(move |tx| tx.exec(sql, store::params![&id, &many])).await.unwrap();
        let gone = json!([{"opt_name": "whatever-0", "opt_value": null}]);
        let seen = w.put("demo", &path, json!({"port": {"name": "p", "extra_dhcp_opts": gone}})).await;
        assert_eq!(seen["port"]["extra_dhcp_opts"].as_array().unwrap().len(), 99);
        let new = json!({"port": {"extra_dhcp_opts": [{"opt_name": "new", "opt_value": "x"}]}});
        w.refused("demo", "PUT", &path, new, 400, "InvalidInput").await;
    }
}

#[tokio::test]
async fn a_floating_ip_has_a_limited_number_of_forwardings() {
    for w in worlds().await {
        w.first_start().await;
        let id = |v: Value| v["networks"][0]["id"].as_str().unwrap().to_owned();
        let (public, private) = (
            id(w.get("demo", "/networks?name=public").await),
            id(w.get("demo", "/networks?name=private").await),
        );
        let f = w.make("demo", "/floatingips", json!({"floatingip": {"floating_network_id": public}})).await;
        let p = w.make("demo", "/ports", json!({"port": {"network_id": private}})).await;
        let path = format!("/floatingips/{}/port_forwardings", f["id"].as_str().unwrap());
        let body = |n: usize| {
            json!({"port_forwarding": {"protocol": "tcp", "external_port": n, "internal_port": n,
                "internal_port_id": p["id"], "internal_ip_address": p["fixed_ips"][0]["ip_address"]}})
        };
        let first = w.make("demo", &path, body(1)).await;
        // The rest of them, as the first is.
        let first = first["id"].as_str().unwrap().to_owned();
        let one = first.clone();
        w.db.write(move |tx| {
            for n in 2..=i64::try_from(MAX_FORWARDS).unwrap() {
                let sql =
                    "INSERT INTO port_forwarding (id, floating_ip_id, description, protocol, external_first,
                     external_last, port_id, address, internal_first, internal_last, created_at)
                     SELECT $2, floating_ip_id, description, protocol, $3, $3, port_id, address, $3, $3, $3
                     FROM port_forwarding WHERE id = $1";
                tx.exec(sql, store::params![&first, base::PortForwardingId::new(), n])?;
            }
            Ok(())
        })
        .await
        .unwrap();
        w.refused("demo", "POST", &path, body(5000), 400, "BadRequest").await;
        w.remove("demo", &format!("{path}/{one}")).await;
        w.make("demo", &path, body(5000)).await;
    }
}
