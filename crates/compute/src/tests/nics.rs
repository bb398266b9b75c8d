//! NICs that come and go.

use super::world::{World, worlds};
use serde_json::{Value, json};

async fn network(w: &World) -> Value {
    let id =
        w.db.read(|tx| tx.one("SELECT id FROM network WHERE name = 'private'", &[], |r| r.get::<String>(0)));
    id.await.unwrap().into()
}

#[tokio::test]
async fn nics_come_and_go() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        let at = format!("/servers/{id}/os-interface");
        let ask = |body: Value| json!({"interfaceAttachment": body});
        let early = w.member("2.79", "POST", &at, Some(ask(json!({})))).await.refused(409);
        assert_eq!(
            early,
            format!("Cannot 'attach_interface' instance {id} while it is in vm_state building")
        );
        w.until(&mut host, id, "ACTIVE").await;
        let net = network(&w).await;
        let first = w.get(&at).await["interfaceAttachments"][0]["fixed_ips"][0]["ip_address"].clone();
        let beside = |n: u8| format!("{}.{n}", first.as_str().unwrap().rsplit_once('.').unwrap().0);

        // Onto the only network; by its id, with an address and a name; the same address again.
        w.member("2.79", "POST", &at, Some(ask(json!({})))).await.expect(200);
        let taken = w.get(&at).await["interfaceAttachments"].to_string();
        let own = (77..).map(beside).find(|a| !taken.contains(&format!("{a:?}"))).unwrap();
        let body = ask(json!({"net_id": net, "fixed_ips": [{"ip_address": own}], "tag": "storage"}));
        let made = w.member("2.79", "POST", &at, Some(body.clone())).await.expect(200)["interfaceAttachment"]
            .clone();
        assert_eq!(made["fixed_ips"][0]["ip_address"], own);
        assert_eq!((&made["tag"], &made["port_state"]), (&json!("storage"), &json!("DOWN")));
        w.member("2.48", "POST", &at, Some(body.clone())).await.expect(400);
        assert!(w.member("2.79", "POST", &at, Some(body)).await.status.is_client_error());
        host.turn(&w).await;
        let listed = w.get(&at).await["interfaceAttachments"].as_array().unwrap().clone();
        assert_eq!(listed.len(), 3);
        assert!(listed.iter().all(|i| i["port_state"] == "ACTIVE"));
        let nics = host.document.as_ref().unwrap().guests[0].nics.clone();
        assert_eq!((nics.len(), nics[2].tag.as_deref()), (3, Some("storage")));

        for (wrong, status) in [
            (json!({"net_id": net, "port_id": made["port_id"]}), 400),
            (json!({"fixed_ips": [{"ip_address": beside(78)}]}), 400),
            (json!({"port_id": made["port_id"]}), 409),
            (json!({"port_id": uuid::Uuid::new_v4()}), 404),
            (json!({"net_id": uuid::Uuid::new_v4()}), 404),
            (json!({"net": net}), 400),
        ] {
            let answer = w.member("2.79", "POST", &at, Some(ask(wrong.clone()))).await;
            assert_eq!(answer.status, status, "{wrong}: {}", answer.text);
        }
        // A network that the host cannot have.
        let tag = async |segment: Option<i64>| {
            let sql = "UPDATE network SET vlan_physical = 'office', vlan_segment = $1 WHERE name = 'private'";
            w.db.write(move |tx| tx.exec(sql, store::params![segment])).await.unwrap();
        };
        tag(Some(100)).await;
        let refused = w.member("2.79", "POST", &at, Some(ask(json!({})))).await.refused(400);
        assert!(refused.contains("its NIC on VLAN 100 of office"), "{refused}");
        tag(None).await;
        for _ in 0..5 {
            w.member("2.79", "POST", &at, Some(ask(json!({})))).await.expect(200);
        }
        assert!(w.member("2.79", "POST", &at, Some(ask(json!({})))).await.refused(403).contains("8 already"));

        // Its own port goes when it is let go of.
        let one = format!("{at}/{}", made["port_id"].as_str().unwrap());
        w.member("2.79", "DELETE", &one, None).await.expect(202);
        w.member("2.79", "DELETE", &one, None).await.expect(404);
        w.member("2.79", "GET", &one, None).await.expect(404);
        host.turn(&w).await;
        assert_eq!(host.document.as_ref().unwrap().guests[0].nics.len(), 7);

        let act = format!("/servers/{id}/action");
        let add = json!({"addFixedIp": {"networkId": net}});
        w.member("2.43", "POST", &act, Some(add.clone())).await.expect(202);
        w.member("2.44", "POST", &act, Some(add)).await.expect(404);
        let all =
            w.get(&format!("/servers/{id}/ips")).await["addresses"]["private"].as_array().unwrap().clone();
        assert_eq!(all.len(), 8);
        let remove = json!({"removeFixedIp": {"address": all[1]["addr"]}});
        w.member("2.43", "POST", &act, Some(remove.clone())).await.expect(202);
        w.member("2.43", "POST", &act, Some(remove)).await.expect(400);

        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        host.turn(&w).await;
        w.nothing_left().await;
    }
}

#[tokio::test]
async fn a_port_becomes_a_nic_through_compute_alone() {
    for w in worlds().await {
        let mut host = w.host("h1").await;
        host.turn(&w).await;
        let id = w.create("one").await;
        let ports = "/network/v2.0/ports";
        let ask = async |who: &str, method: &str, path: &str, body: Value| {
            w.send(who, "", method, path, Some(body)).await
        };
        let lan = ask("member:b", "POST", "/network/v2.0/networks", json!({"network": {}})).await.expect(201);
        let theirs = lan["network"]["id"].clone();
        let port = ask("member:b", "POST", ports, json!({"port": {"network_id": theirs}})).await.expect(201);
        let other = format!("{ports}/{}", port["port"]["id"].as_str().unwrap());
        let port = json!({"port": {"network_id": network(&w).await}});
        let port = ask("member:a", "POST", ports, port).await.expect(201)["port"]["id"].clone();
        let own = format!("{ports}/{}", port.as_str().unwrap());
        let nic = json!({"device_id": id, "device_owner": "compute:nova"});
        let kept_out = async || {
            let new = json!({"port": {"network_id": theirs, "device_id": id}});
            ask("member:b", "POST", ports, new).await.refused(409);
            let why = ask("member:b", "PUT", &other, json!({"port": nic})).await.refused(409);
            assert!(why.contains("openstack server add port"), "{why}");
            ask("member:a", "PUT", &own, json!({"port": nic})).await.refused(409);
            ask("admin:a", "PUT", &other, json!({"port": nic})).await.refused(409);
        };
        // From the moment that the server is there, whatever becomes of it.
        kept_out().await;
        w.until(&mut host, id, "ACTIVE").await;
        kept_out().await;
        w.act(id, json!({"os-stop": null})).await.expect(202);
        w.until(&mut host, id, "SHUTOFF").await;
        kept_out().await;
        // The way that there is, and the whole port sent back afterwards.
        let at = format!("/servers/{id}/os-interface");
        let body = json!({"interfaceAttachment": {"port_id": port}});
        w.member("2.79", "POST", &at, Some(body)).await.expect(200);
        let whole = json!({"port": {"name": "eth1", "device_id": id, "device_owner": "compute:nova"}});
        ask("member:a", "PUT", &own, whole).await.expect(200);
        host.turn(&w).await;
        assert_eq!(host.document.as_ref().unwrap().guests[0].nics.len(), 2);
        // Once it is gone its id is text as any other.
        w.delete(id).await.expect(204);
        w.until(&mut host, id, "GONE").await;
        ask("member:b", "PUT", &other, json!({"port": nic})).await.expect(200);
    }
}
