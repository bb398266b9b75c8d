//! The Network service beyond its first nouns, by the unmodified client: pools, scopes, sharing, address
//! groups, topologies by themselves.

use crate::api::Api;
use crate::world::World;
use serde_json::{Value, json};

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_else(|| panic!("no text {key} in {v}"))
}

#[test]
fn pools_and_scopes_by_the_client() {
    let w = World::dev(1);
    let scope = w.osc("address scope create --ip-version 4 inner");
    let pool = w.osc(
        "subnet pool create --pool-prefix 10.40.0.0/16 --default-prefix-length 24 --min-prefix-length 20 \
         --address-scope inner --default-quota 1024 --tag red forty",
    );
    assert_eq!((&pool["prefixes"], &pool["tags"]), (&json!(["10.40.0.0/16"]), &json!(["red"])));
    assert_eq!(pool["address_scope_id"], scope["id"]);
    w.osc_do("subnet pool set --pool-prefix 10.41.0.0/16 --name fourty forty");
    assert_eq!(w.osc("subnet pool show fourty")["prefixes"], json!(["10.40.0.0/15"]));
    w.osc("network create n");
    let s = w.osc("subnet create --network n --subnet-pool fourty --prefix-length 25 first");
    assert_eq!((text(&s, "cidr"), &s["subnetpool_id"]), ("10.40.0.0/25", &pool["id"]));
    let chosen = w.osc("subnet create --network n --subnet-pool fourty --subnet-range 10.41.7.0/24 second");
    assert_eq!(text(&chosen, "cidr"), "10.41.7.0/24");
    assert_eq!(w.osc("network show n")["ipv4_address_scope"], scope["id"]);
    assert!(w.osc_refused("subnet pool delete fourty").contains("existing allocations"));
    let six = w.osc("subnet create --network n --ip-version 6 --use-default-subnet-pool six");
    assert!(text(&six, "cidr").starts_with("fd"), "{six}");
    assert_eq!(w.osc("subnet pool list --default").as_array().unwrap().len(), 2);
    w.osc("network create --availability-zone-hint nova hinted");
    assert_eq!(w.osc("network show hinted")["availability_zone_hints"], json!(["nova"]));
    assert!(w.osc_refused("network create --availability-zone-hint moon m").contains("moon"));
    w.osc_do("network delete n hinted");
    w.osc_do("subnet pool delete fourty");
    w.osc_do("address scope delete inner");
    w.finish();
}

#[test]
fn sharing_by_the_client() {
    let w = World::dev(1);
    let demo = w.api("demo");
    w.osc_as("hanok", "network create theirs");
    let rbac = w.osc_as(
        "hanok",
        &format!(
            "network rbac create --type network --action access_as_shared --target-project {} theirs",
            demo.project
        ),
    );
    assert_eq!(rbac["target_project_id"], json!(demo.project));
    w.osc_do_as("hanok", "subnet create --network theirs --subnet-range 10.50.0.0/24 theirs4");
    assert_eq!(w.osc("network show theirs")["shared"], json!(true));
    let port = w.osc("port create --network theirs mine");
    let used = w.openstack("hanok", &format!("network rbac delete {}", text(&rbac, "id")));
    assert!(!used.status.success());
    w.osc_do(&format!("port delete {}", text(&port, "id")));
    let list = w.osc_as("hanok", "network rbac list --type network --long");
    assert!(list.as_array().unwrap().len() >= 2, "{list}");
    w.osc_do_as("hanok", &format!("network rbac delete {}", text(&rbac, "id")));
    assert!(w.osc_refused("network show theirs").contains("theirs"));

    // Addresses with a name, first rules of groups, where floating IPs come from.
    let group = w.osc("address group create --address 192.0.2.0/24 --address 2001:db8::/32 friends");
    assert_eq!(group["addresses"].as_array().unwrap().len(), 2);
    w.osc_do("address group set --address 198.51.100.7 --description known friends");
    w.osc_do("address group unset --address 192.0.2.0/24 friends");
    assert_eq!(w.osc("address group show friends")["addresses"], json!(["198.51.100.7/32", "2001:db8::/32"]));
    w.osc("security group rule create --protocol tcp --dst-port 22 --remote-address-group friends default");
    assert!(w.osc_refused("address group delete friends").contains("in use"));
    let first = w.osc("default security group rule list");
    assert_eq!(first.as_array().unwrap().len(), 4, "{first}");
    let ping = w.osc_as("hanok", "default security group rule create --protocol icmp --for-custom-sg");
    let made = w.osc("security group create pinged");
    assert!(made["rules"].as_array().unwrap().iter().any(|r| r["protocol"] == "icmp"), "{made}");
    w.osc_do_as("hanok", &format!("default security group rule delete {}", text(&ping, "id")));
    let pools = demo.get("/network/v2.0/floatingip_pools").expect(200);
    assert_eq!(pools["floatingip_pools"].as_array().map(Vec::len), Some(1));
    w.finish();
}

#[test]
fn a_network_by_itself() {
    let w = World::dev(1);
    w.osc_do_as("hanok", "project create lonely");
    w.osc_do_as("hanok", "role add --project lonely --user admin admin");
    let lonely = w.osc_as("hanok", "project show lonely");
    let id = text(&lonely, "id");
    let dry = w
        .osc_as("hanok", &format!("network auto allocated topology create --check-resources --project {id}"));
    assert_eq!(dry["dry_run"], "pass", "{dry}");
    let made = w.osc_as("hanok", &format!("network auto allocated topology create --project {id}"));
    let network = w.osc_as("hanok", &format!("network show {}", text(&made, "id")));
    assert_eq!(
        (text(&network, "name"), network["subnets"].as_array().unwrap().len()),
        ("auto_allocated_network", 2)
    );
    w.osc_do_as("hanok", &format!("network auto allocated topology delete --project {id}"));
    let left = w.osc_as("hanok", &format!("network list --project {id}"));
    assert_eq!(left, json!([]));

    // A server of a project that has nothing gets one, with the server, by one call.
    let password = std::fs::read_to_string(w.data().join("admin-password")).unwrap();
    let alone = Api::login(w.api("hanok").to, "admin", password.trim(), "lonely");
    let mut body = alone.server_body("first", &[]);
    body["server"]["networks"] = json!("auto");
    let headers = [("Content-Type", "application/json"), ("OpenStack-API-Version", "compute 2.37")];
    let said = alone.raw("POST", "/compute/v2.1/servers", &headers, body.to_string().as_bytes()).unwrap();
    let server = text(&said.expect(202)["server"], "id").to_owned();
    alone.wait_for(&server, "ACTIVE");
    assert_eq!(alone.ports_of(&server).len(), 1);
    alone.delete_server(&server);
    w.finish();
}
