//! The unmodified `openstack` client against every service, verb by verb, as a person would use it.

use crate::world::World;
use serde_json::Value;

/// A field of what the client shows, as text.
fn text<'a>(shown: &'a Value, field: &str) -> &'a str {
    shown[field].as_str().unwrap_or_else(|| panic!("no {field} in {shown}"))
}

/// Whether a list of the client has a row with this in the column.
fn has(list: &Value, column: &str, value: &str) -> bool {
    list.as_array().expect("a list").iter().any(|row| row[column] == value)
}

#[test]
fn identity() {
    let w = World::dev(1);
    let token = w.osc("token issue");
    assert_eq!(text(&token, "project_id").len(), 32);

    let catalog = w.osc_admin("catalog list");
    for service in ["identity", "compute", "image", "network"] {
        assert!(has(&catalog, "Type", service), "{service} in {catalog}");
    }
    assert!(w.osc("catalog show compute")["endpoints"].to_string().contains("/compute/v2.1"));
    assert!(w.osc_admin("endpoint list").as_array().unwrap().len() >= 4);
    assert!(w.osc_admin("service list").as_array().unwrap().len() >= 4);
    assert!(has(&w.osc_admin("region list"), "Region", "RegionOne"));

    let project = w.osc_admin("project create --description first --property colour=green lab");
    assert_eq!(project["colour"], "green");
    w.osc_do_as("hanok", "project set --description second --tag red lab");
    let shown = w.osc_admin("project show lab");
    assert_eq!((text(&shown, "description"), &shown["tags"][0]), ("second", &Value::from("red")));
    assert!(w.osc_refused("project create another").contains("403"));

    w.osc_admin("user create --password first-secret --project lab --email kim@example.org kim");
    w.osc_do_as("hanok", "role add --user kim --project lab member");
    let roles = w.osc_admin("role assignment list --user kim --names");
    assert!(has(&roles, "Role", "member"), "{roles}");
    let who = "--os-username kim --os-project-name lab";
    w.osc(&format!("{who} --os-password first-secret token issue"));
    w.osc_do_as("hanok", "user set --password second-secret kim");
    assert!(w.osc_refused(&format!("{who} --os-password first-secret token issue")).contains("401"));
    w.osc_do(&format!("{who} --os-password second-secret user password set --original-password second-secret --password third-secret"));
    w.osc(&format!("{who} --os-password third-secret token issue"));

    let credential = w.osc(&format!("{who} --os-password third-secret application credential create robot"));
    let (id, secret) = (text(&credential, "ID").to_owned(), text(&credential, "Secret").to_owned());
    let robot = crate::api::Api::anonymous(w.api("demo").to).post(
        "/identity/v3/auth/tokens",
        &serde_json::json!({"auth": {"identity": {"methods": ["application_credential"],
            "application_credential": {"id": id, "secret": secret}}}}),
    );
    robot.expect(201);
    w.osc_do(&format!("{who} --os-password third-secret application credential delete robot"));

    w.osc_admin("group create staff");
    w.osc_do_as("hanok", "group add user staff kim");
    assert!(has(&w.osc_admin("user list --group staff"), "Name", "kim"));
    w.osc_do_as("hanok", "role remove --user kim --project lab member");
    assert!(w.osc_refused(&format!("{who} --os-password third-secret token issue")).contains("401"));
    w.osc_admin("role create auditor");
    assert!(has(&w.osc_admin("role list"), "Name", "auditor"));
    w.osc_do_as("hanok", "role delete auditor");
    w.osc_do_as("hanok", "user set --disable kim");
    w.osc_do_as("hanok", "user delete kim");
    w.osc_do_as("hanok", "group delete staff");
    w.osc_do_as("hanok", "project delete lab");
    assert!(!has(&w.osc_admin("project list"), "Name", "lab"));
    assert!(!has(&w.osc_admin("user list"), "Name", "kim"));

    // Tokens sealed before a new key came still open.
    let before = w.api("demo");
    let data = w.data().display().to_string();
    let rotated = w.hanok(&["admin", "rotate-keys", "--data", &data]);
    assert!(rotated.status.success(), "{rotated:?}");
    before.get("/compute/v2.1/servers").expect(200);
    w.api("demo").get("/compute/v2.1/servers").expect(200);
    w.finish();
}

#[test]
fn image() {
    let w = World::dev(1);
    let content: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let file = w.file("disk.raw");
    std::fs::write(&file, &content).unwrap();
    let made = w.osc(&format!(
        "image create --disk-format raw --container-format bare --min-disk 1 --property os_distro=mine --tag t1 --file {} mine",
        file.display()
    ));
    let id = text(&made, "id").to_owned();
    let shown = w.osc("image show mine");
    assert_eq!(text(&shown, "status"), "active");
    assert_eq!(shown["size"], content.len());
    assert_eq!(shown["min_disk"], 1);
    assert_eq!(shown["properties"]["os_hash_algo"], "sha512");
    let summed = std::process::Command::new("md5sum").arg(&file).output().unwrap();
    let summed = String::from_utf8_lossy(&summed.stdout).into_owned();
    assert!(summed.starts_with(text(&shown, "checksum")), "{summed}");

    let copy = w.file("copy.raw");
    w.osc_do(&format!("image save --file {} mine", copy.display()));
    assert!(std::fs::read(&copy).unwrap() == content, "what was saved is not what was stored");

    w.osc_do("image set --name renamed --property purpose=test --min-ram 64 mine");
    let shown = w.osc(&format!("image show {id}"));
    assert_eq!((text(&shown, "name"), &shown["properties"]["purpose"]), ("renamed", &Value::from("test")));
    w.osc_do("image unset --property purpose --tag t1 renamed");
    let shown = w.osc("image show renamed");
    assert!(shown["properties"]["purpose"].is_null() && shown["tags"] == serde_json::json!([]), "{shown}");

    assert!(has(&w.osc("image list"), "Name", "mini"), "the public image shows in every project");
    assert!(has(&w.osc("image list --shared --status active"), "Name", "renamed"));
    assert!(w.osc_refused("image delete mini").contains("403"), "another's image stays");
    w.osc_do("image set --protected renamed");
    assert!(w.osc_refused("image delete renamed").contains("403"));
    w.osc_do("image set --unprotected renamed");

    // Shown to another project, which takes it.
    w.osc_do("image set --shared renamed");
    let other = w.api("hanok").project;
    w.osc(&format!("image add project {id} {other}"));
    w.osc_do_as("hanok", &format!("image set --accept {id}"));
    assert!(has(&w.osc_admin("image list --shared"), "ID", &id));
    w.osc_do(&format!("image remove project {id} {other}"));

    w.osc_do("image delete renamed");
    assert!(!has(&w.osc("image list"), "ID", &id));
    w.finish();
}

#[test]
fn network() {
    let w = World::dev(1);
    let net = w.osc("network create --description d lan");
    assert_eq!(text(&net, "status"), "ACTIVE");
    let subnet = w.osc("subnet create --network lan --subnet-range 10.9.0.0/24 --dns-nameserver 192.0.2.53 --host-route destination=10.77.0.0/16,gateway=10.9.0.7 lan4");
    assert_eq!(text(&subnet, "gateway_ip"), "10.9.0.1");
    w.osc("subnet create --network lan --ip-version 6 --ipv6-ra-mode slaac --ipv6-address-mode slaac --subnet-range fd00:9::/64 lan6");
    w.osc_do("subnet set --name lan-v4 --no-dns-nameservers lan4");
    assert_eq!(w.osc("subnet show lan-v4")["dns_nameservers"], serde_json::json!([]));

    let port = w.osc("port create --network lan --fixed-ip subnet=lan-v4,ip-address=10.9.0.50 --mac-address 02:00:00:00:00:50 p1");
    assert_eq!(port["fixed_ips"][0]["ip_address"], "10.9.0.50");
    assert_eq!(text(&port, "mac_address"), "02:00:00:00:00:50");
    assert!(w.osc_refused("port create --network lan --fixed-ip ip-address=10.9.0.50 p2").contains("409"));
    w.osc_do("port set --description changed --allowed-address ip-address=10.9.0.99 p1");
    assert!(has(&w.osc("port list --network lan"), "Name", "p1"));

    w.osc("router create r1");
    w.osc_do("router set --external-gateway public r1");
    w.osc_do("router add subnet r1 lan-v4");
    let router = w.osc("router show r1");
    let outside = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"].as_str().unwrap();
    assert!(outside.starts_with(&w.public.to_string()[..8]), "{outside}");
    assert!(w.osc_refused("router delete r1").contains("409"), "a router in use stays");

    let fip = w.osc("floating ip create public");
    let address = text(&fip, "floating_ip_address").to_owned();
    w.osc_do(&format!("floating ip set --port p1 {address}"));
    assert_eq!(text(&w.osc(&format!("floating ip show {address}")), "fixed_ip_address"), "10.9.0.50");
    w.osc_do(&format!("floating ip unset --port {address}"));
    w.osc_do(&format!("floating ip delete {address}"));

    w.osc("security group create web");
    let rule = w.osc("security group rule create --protocol tcp --dst-port 80:81 --remote-ip 10.0.0.0/8 web");
    assert_eq!((&rule["port_range_min"], &rule["port_range_max"]), (&80.into(), &81.into()));
    w.osc("security group rule create --protocol icmp --remote-group default web");
    w.osc_do("port set --security-group web p1");
    assert!(w.osc_refused("security group delete web").contains("409"), "a group in use stays");
    w.osc_do("security group set --description shop web");
    assert_eq!(
        w.osc("security group rule list web").as_array().unwrap().len(),
        4,
        "two of ours, two for egress"
    );
    w.osc_do(&format!("security group rule delete {}", text(&rule, "id")));
    w.osc_do("port delete p1");
    w.osc_do("security group delete web");
    assert!(w.osc_refused("security group delete default").contains("409"));

    assert!(w.osc("extension list --network").as_array().unwrap().len() > 10);
    assert!(!w.osc_admin("network agent list").as_array().unwrap().is_empty());
    assert!(!w.osc("availability zone list --network").as_array().unwrap().is_empty());
    w.osc("quota show --network");
    w.osc_do_as("hanok", "quota set --networks 2 demo");
    assert!(w.osc_refused("network create too-many").contains("409"));
    w.osc_do_as("hanok", "quota set --networks 50 demo");

    w.osc_do("network set --tag blue --name lan-b lan");
    assert!(has(&w.osc("network list --tags blue"), "Name", "lan-b"));
    w.osc_do("router remove subnet r1 lan-v4");
    w.osc_do("router unset --external-gateway r1");
    w.osc_do("router delete r1");
    w.osc_do("subnet delete lan-v4");
    w.osc_do("network delete lan-b");
    assert!(!has(&w.osc("network list"), "Name", "lan-b"));
    w.finish();
}

#[test]
fn compute() {
    let w = World::dev(3);
    assert!(has(&w.osc("flavor list"), "Name", "nano"));
    w.osc_admin("flavor create --ram 128 --vcpus 2 --disk 1 --property a:b=c special");
    assert_eq!(w.osc("flavor show special")["properties"]["a:b"], "c");
    assert_eq!(w.osc_admin("hypervisor list").as_array().unwrap().len(), 3);
    w.osc_admin("hypervisor show sim-0001");
    let services = w.osc_admin("compute service list");
    assert_eq!(services.as_array().unwrap().iter().filter(|s| s["Binary"] == "nova-compute").count(), 3);
    assert!(has(&w.osc("availability zone list"), "Zone Name", "nova"));
    w.osc("extension list --compute");
    w.osc("limits show --absolute");
    w.osc("quota show --compute");

    let key = w.file("key");
    crate::guest::make_key(&key);
    w.osc(&format!("keypair create --public-key {}.pub mine", key.display()));
    assert!(has(&w.osc("keypair list"), "Name", "mine"));
    assert!(
        w.osc_refused(&format!("keypair create --public-key {}.pub mine", key.display())).contains("409")
    );

    let script = w.file("hello.sh");
    std::fs::write(&script, "#!/bin/sh\necho hello\n").unwrap();
    let server = w.osc(&format!(
        "server create --image mini --flavor special --network private --key-name mine --user-data {} --config-drive True --property role=web --wait web",
        script.display()
    ));
    assert_eq!(text(&server, "status"), "ACTIVE");
    let shown = w.osc("server show web");
    assert_eq!(shown["properties"]["role"], "web");
    assert_eq!(text(&shown, "key_name"), "mine");
    assert_eq!(shown["addresses"]["private"].as_array().unwrap().len(), 1);
    assert!(has(&w.osc("server list"), "Name", "web"));
    assert!(has(&w.osc("server list --long --name web"), "Status", "ACTIVE"));
    assert!(has(&w.osc_admin("server list --all-projects"), "Name", "web"));

    w.osc_do("server set --property tier=2 --name web-1 web");
    w.osc_do("server unset --property role web-1");
    assert_eq!(w.osc("server show web-1")["properties"], serde_json::json!({"tier": "2"}));
    w.osc_do("server stop web-1");
    let demo = w.api("demo");
    let id = text(&server, "id").to_owned();
    demo.wait_for(&id, "SHUTOFF");
    assert!(w.osc_refused("server stop web-1").contains("409"), "what is stopped cannot be stopped");
    w.osc_do("server start web-1");
    demo.wait_for(&id, "ACTIVE");
    w.osc_do("server reboot --wait web-1");
    w.osc_do("server reboot --hard --wait web-1");
    let events = w.osc("server event list web-1");
    for action in ["create", "stop", "start", "reboot"] {
        assert!(has(&events, "Action", action), "{action} in {events}");
    }

    let address = text(&w.osc("floating ip create public"), "floating_ip_address").to_owned();
    w.osc_do(&format!("server add floating ip web-1 {address}"));
    assert!(w.osc("server show web-1")["addresses"].to_string().contains(&address));
    w.osc_do(&format!("server remove floating ip web-1 {address}"));

    // Deleted with everything that was made for it; a name is free again at once.
    w.osc_do("server delete --wait web-1");
    assert!(!has(&w.osc("server list"), "Name", "web-1"));
    assert!(demo.ports_of(&id).is_empty(), "its port stayed");
    w.osc_do("keypair delete mine");
    w.osc_do_as("hanok", "flavor delete special");

    // Too big for every host: the server says so.
    w.osc_admin("flavor create --ram 1048576 --vcpus 1 --disk 1 giant");
    w.osc_do_as("hanok", "quota set --ram 99999999 demo");
    let giant = demo.create_server(&{
        let mut body = demo.server_body("giant", &[]);
        body["server"]["flavorRef"] = demo.flavor("giant").into();
        body["server"].as_object_mut().unwrap().remove("networks");
        body
    });
    let server = demo.wait_for(&giant, "ERROR");
    let said = server["fault"]["message"].as_str().unwrap().to_owned();
    assert!(
        said.contains("memory") && said.contains('3'),
        "which requirement failed on how many hosts: {said}"
    );
    let why = w.hanok(&["why", "giant"]);
    assert!(String::from_utf8_lossy(&why.stdout).contains("memory"), "{why:?}");
    demo.delete_server(&giant);
    w.finish();
}
