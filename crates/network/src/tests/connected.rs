//! Members of security groups are known where packets of theirs may come from, and nowhere else.

use super::world::{DEMO, World, worlds};
use base::HostId;
use serde_json::{Value, json};

const LAX: &str = "198.51.100.9";

/// Two hosts, each with a guest of the default group on a network of its own: 10.51.0.0/24 and 10.50.0.0/24.
struct Site {
    w: World,
    near: HostId,
    far: HostId,
}

impl Site {
    async fn port(&self, network: &str, host: &str, device: &str) -> String {
        let port = json!({"network_id": network, "project_id": DEMO, "binding:host_id": host,
            "device_id": device, "device_owner": "compute:nova"});
        let made = self.w.make("admin", "/ports", json!({"port": port})).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Networks and their subnets.
    async fn two(&self) -> [(String, String); 2] {
        let near = self.w.network("demo", "10.51.0.0/24").await;
        let far = self.w.network("demo", "10.50.0.0/24").await;
        self.port(&near.0, "near", "one").await;
        self.port(&far.0, "far", "two").await;
        assert!(!self.connected().await);
        [near, far]
    }

    /// A provider network.
    async fn wired(&self, provider: &Value, cidr: &str) -> String {
        let mut network = json!({"project_id": DEMO});
        network.as_object_mut().unwrap().extend(provider.as_object().unwrap().clone());
        let made = self.w.make("admin", "/networks", json!({"network": network})).await;
        let subnet = json!({"network_id": made["id"], "ip_version": 4, "cidr": cidr, "project_id": DEMO});
        self.w.make("admin", "/subnets", json!({"subnet": subnet})).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Whether a host knows a member of a group by an address that begins so.
    async fn knows(&self, host: HostId, address: &str) -> bool {
        let members = self.w.document(host).await.groups.into_iter().flat_map(|g| g.members);
        members.into_iter().any(|a| a.to_string().starts_with(address))
    }

    /// Whether each host knows the other one's guest.
    async fn connected(&self) -> bool {
        let found = (self.knows(self.near, "10.50.").await, self.knows(self.far, "10.51.").await);
        assert_eq!(found.0, found.1, "both or none");
        found.0
    }

    async fn generations(&self) -> (i64, i64) {
        (self.w.generation(self.near).await, self.w.generation(self.far).await)
    }

    /// Does something that has to be told to both hosts.
    async fn told(&self, method: &str, path: &str, body: Value) {
        let before = self.generations().await;
        let (status, v) = self.w.send("admin", method, path, &body, None).await;
        assert!(status < 300, "{method} {path} {body}: {v}");
        let after = self.generations().await;
        assert!(after.0 > before.0 && after.1 > before.1, "{method} {path}: {before:?}, {after:?}");
    }
}

async fn sites() -> Vec<Site> {
    let mut all = Vec::new();
    for w in worlds().await {
        w.first_start().await;
        let (near, far) = (w.host("near", 1).await, w.host("far", 2).await);
        all.push(Site { w, near, far });
    }
    all
}

async fn router(w: &World, subnet: &str, more: Value) -> String {
    let mut router = json!({"project_id": DEMO});
    router.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = w.make("admin", "/routers", json!({"router": router})).await;
    let path = format!("/routers/{}", made["id"].as_str().unwrap());
    w.put("admin", &format!("{path}/add_router_interface"), json!({"subnet_id": subnet})).await;
    path
}

#[tokio::test]
async fn by_routers_one_after_the_other() {
    for s in sites().await {
        let [near, far] = s.two().await;
        let (middle, subnet) = s.w.network("demo", "10.99.0.0/24").await;
        let first = router(&s.w, &near.1, json!({})).await;
        let second = router(&s.w, &far.1, json!({})).await;
        s.w.put("demo", &format!("{first}/add_router_interface"), json!({"subnet_id": subnet})).await;
        assert!(!s.connected().await, "one router leads into the middle only");
        let port = s.w.make("demo", "/ports", json!({"port": {"network_id": middle}})).await;
        let leg = json!({"port_id": port["id"]});
        s.told("PUT", &format!("{second}/add_router_interface"), leg.clone()).await;
        assert!(s.connected().await);
        s.told("PUT", &format!("{second}/remove_router_interface"), leg).await;
        assert!(!s.connected().await);
    }
}

#[tokio::test]
async fn by_routers_without_translation() {
    for s in sites().await {
        let [near, far] = s.two().await;
        let public = s.w.get("admin", "/networks?name=public").await["networks"][0]["id"].clone();
        let snat = |on: bool| json!({"external_gateway_info": {"network_id": public, "enable_snat": on}});
        router(&s.w, &near.1, snat(false)).await;
        let second = router(&s.w, &far.1, snat(true)).await;
        assert!(!s.connected().await, "who comes from the second has its router's address");
        s.told("PUT", &second, json!({"router": snat(false)})).await;
        assert!(s.connected().await);
        s.told("PUT", &second, json!({"router": snat(true)})).await;
        assert!(!s.connected().await);
    }
}

#[tokio::test]
async fn by_guests_that_send_for_others() {
    for s in sites().await {
        let [near, far] = s.two().await;
        let first = format!("/ports/{}", s.port(&near.0, "near", "firewall").await);
        let second = format!("/ports/{}", s.port(&far.0, "near", "firewall").await);
        let pairs = |all: Value| json!({"port": {"allowed_address_pairs": all}});
        let lax = || pairs(json!([{"ip_address": LAX}]));
        s.w.put("admin", &first, lax()).await;
        assert!(!s.knows(s.far, "10.51.").await, "nothing that comes back gets through");
        s.told("PUT", &second, lax()).await;
        assert!(s.knows(s.far, "10.51.").await);
        s.told("PUT", &second, pairs(json!([]))).await;
        assert!(!s.knows(s.far, "10.51.").await);
        s.told("PUT", &second, json!({"port": {"port_security_enabled": false, "security_groups": []}}))
            .await;
        assert!(s.knows(s.far, "10.51.").await);
        s.told("DELETE", &second, Value::Null).await;
        assert!(!s.knows(s.far, "10.51.").await);
    }
}

#[tokio::test]
async fn by_what_is_outside() {
    let wire =
        |kind: &str, name: &str| json!({"provider:network_type": kind, "provider:physical_network": name});
    let mut vlan = wire("vlan", "office");
    vlan["provider:segmentation_id"] = json!(7);
    for other in [wire("flat", "office"), vlan] {
        for s in sites().await {
            super::vlans::report(&s.w, s.far, Some("eth1"), true).await;
            let near = s.wired(&wire("flat", "floor1"), "10.51.0.0/24").await;
            let far = s.wired(&other, "10.50.0.0/24").await;
            s.port(&near, "near", "one").await;
            let body = json!({"network_id": far, "project_id": DEMO, "binding:host_id": "far"});
            s.told("POST", "/ports", json!({"port": body})).await;
            assert!(s.connected().await, "somebody may route between {other} and the other floor");
        }
    }
}
