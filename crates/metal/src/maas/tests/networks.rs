//! Networks, addresses and names as clients write them, and what racks are told of them.

use super::{World, worlds};
use crate::model::Status;
use crate::table::{nic, rack, segment};
use base::doc::rack::{DhcpMode, Lease, RackDesired};
use serde_json::{Value, json};

/// A rack with an interface that has an address, as it reports.
async fn a_rack(w: &World, name: &'static str, address: &'static str) -> String {
    w.db.write(move |tx| {
        let id = base::RackId::new();
        rack::admit(tx, id, name, &crate::token_hash(name))?;
        let interfaces =
            json!([{"name": "eth7", "mac": "52:54:00:ff:00:01", "up": true, "addresses": [address]}]);
        tx.exec("UPDATE rack SET interfaces = $2 WHERE id = $1", store::params![id, interfaces.to_string()])?;
        Ok(crate::maas::view::rack_system_id(&rack::by_id(tx, id)?.unwrap()))
    })
    .await
    .unwrap()
}

/// What the only rack is told.
async fn told(w: &World) -> RackDesired {
    let metal = w.metal.clone();
    w.db.read(move |tx| crate::document::make(&metal, tx, &rack::all(tx)?[0])).await.unwrap()
}

impl World {
    async fn put(&self, path: &str, form: &str) -> super::Answer {
        self.call(&self.admin, "PUT", path, form).await
    }
    async fn delete(&self, path: &str) -> super::Answer {
        self.call(&self.admin, "DELETE", path, "").await
    }
    async fn made(&self, path: &str, form: &str) -> Value {
        self.post(&self.admin, path, form).await.of(200)
    }
}

/// From nothing to a network that a rack serves, as the Terraform provider makes one.
#[tokio::test]
async fn a_network_is_made_and_a_rack_serves_it() {
    for w in worlds().await {
        let rack = a_rack(&w, "r1", "10.7.0.2/24").await;
        let fabric = w.made("fabrics/", "name=lab&description=x").await;
        assert_eq!((&fabric["name"], &fabric["vlans"][0]["vid"]), (&json!("lab"), &json!(0)));
        assert_eq!(
            w.post(&w.admin, "fabrics/", "name=lab").await.of(400)["name"][0].as_str().map(str::is_empty),
            Some(false)
        );
        let f = fabric["id"].to_string();
        let space = w.made("spaces/", "name=inner").await;
        let vlan = w.made(&format!("fabrics/{f}/vlans/"), "vid=20&name=guests&mtu=9000&space=inner").await;
        assert_eq!(
            (&vlan["fabric_id"], &vlan["space"], &vlan["mtu"]),
            (&fabric["id"], &json!("inner"), &json!(9000))
        );
        w.post(&w.admin, &format!("fabrics/{f}/vlans/"), "vid=20").await.of(400);
        w.post(&w.admin, &format!("fabrics/{f}/vlans/"), "vid=5000").await.of(400);
        assert_eq!(w.get(&w.demo, &format!("fabrics/{f}/vlans/")).await.of(200).as_array().unwrap().len(), 2);
        let vid = format!("fabrics/{f}/vlans/20/");
        // Nothing to serve yet, and nobody knows where.
        let no = w.put(&vid, "dhcp_on=true&primary_rack=none").await.of(400);
        assert!(no["primary_rack"][0].as_str().unwrap().contains("no rack"), "{no}");
        let no = w.put(&vid, &format!("dhcp_on=true&primary_rack={rack}")).await.of(400);
        assert!(no["dhcp_on"][0].as_str().unwrap().contains("no address"), "{no}");

        let form = format!(
            "cidr=10.7.0.0/24&vlan={}&gateway_ip=10.7.0.1&dns_servers=10.7.0.3%2010.7.0.4&name=guests",
            vlan["id"]
        );
        let subnet = w.made("subnets/", &form).await;
        assert_eq!(
            (&subnet["space"], &subnet["dns_servers"]),
            (&json!("inner"), &json!(["10.7.0.3", "10.7.0.4"]))
        );
        w.post(&w.admin, "subnets/", &form).await.of(400);
        for bad in [
            "cidr=x",
            "cidr=10.8.0.0/24&vlan=999",
            "cidr=10.8.0.0/24&gateway_ip=9.9.9.9",
            "cidr=10.8.0.0/24&allow_dns=0",
            "cidr=10.8.0.0/24&rdns_mode=0",
        ] {
            let answer = w.post(&w.admin, "subnets/", &format!("{bad}&fabric={f}&vid=20")).await;
            assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
        }
        let s = format!("subnets/{}/", subnet["id"]);
        let range = w.made("ipranges/", "type=dynamic&start_ip=10.7.0.100&end_ip=10.7.0.199").await;
        w.post(&w.admin, "ipranges/", "type=reserved&start_ip=10.7.0.150&end_ip=10.7.0.160").await.of(400);
        w.made("ipranges/", "type=reserved&start_ip=10.7.0.200&end_ip=10.7.0.210&comment=printers").await;
        assert!(told(&w).await.segments.is_empty(), "not asked for yet");

        let on = w.put(&vid, &format!("dhcp_on=true&primary_rack={rack}")).await.of(200);
        assert_eq!((&on["dhcp_on"], &on["primary_rack"]), (&json!(true), &json!(rack)));
        let doc = told(&w).await;
        let [served] = doc.segments.as_slice() else { panic!("{doc:?}") };
        assert_eq!((served.interface.as_str(), served.dhcp), ("eth7", DhcpMode::Serve));
        assert_eq!(served.subnets[0].address.to_string(), "10.7.0.2");
        assert_eq!((served.subnets[0].mtu, served.subnets[0].ranges.len()), (9000, 1));
        assert_eq!(served.subnets[0].gateway.unwrap().to_string(), "10.7.0.1");

        // Changed.
        let end =
            w.put(&format!("ipranges/{}/", range["id"]), "end_ip=10.7.0.120&comment=less").await.of(200);
        assert_eq!((&end["end_ip"], &end["comment"]), (&json!("10.7.0.120"), &json!("less")));
        let changed = w.put(&s, "gateway_ip=&name=g2&description=y&managed=false").await.of(200);
        assert_eq!(
            (&changed["gateway_ip"], &changed["name"], &changed["managed"]),
            (&Value::Null, &json!("g2"), &json!(false))
        );
        w.put(&s, "cidr=10.9.9.0/24").await.of(400);
        let count = w.get(&w.demo, &format!("{s}?op=statistics")).await.of(200);
        // 254 less 21 and 11 of ranges, the rack and two name servers.
        assert_eq!((&count["total_addresses"], &count["num_available"]), (&json!(254), &json!(219)));
        let free = w.get(&w.demo, &format!("{s}?op=unreserved_ip_ranges")).await.of(200);
        assert_eq!(
            free[0],
            json!({"start": "10.7.0.1", "end": "10.7.0.1", "num_addresses": 1, "purpose": ["unused"]})
        );
        assert_eq!(
            w.get(&w.demo, &format!("{s}?op=reserved_ip_ranges")).await.of(200).as_array().unwrap().len(),
            5
        );

        // Taken down again, from the inside out.
        assert_eq!(w.delete(&vid).await.status, 400);
        assert_eq!(w.delete(&s).await.status, 204);
        assert_eq!(w.delete(&format!("fabrics/{f}/vlans/0/")).await.status, 400);
        assert_eq!(w.delete(&vid).await.status, 204);
        assert_eq!(w.delete(&format!("fabrics/{f}/")).await.status, 204);
        assert_eq!(w.delete(&format!("spaces/{}/", space["id"])).await.status, 204);
        assert_eq!(w.delete("spaces/-1/").await.status, 400);
        assert!(told(&w).await.segments.is_empty());
    }
}

#[tokio::test]
async fn spaces_count_when_a_machine_is_asked_for() {
    let w = World::on_sqlite().await;
    w.machine("one", 1, Status::Ready).await;
    w.made("spaces/", "name=dmz").await;
    w.put("fabrics/room/vlans/0/", "space=dmz").await.of(200);
    for (wish, status) in [
        ("interfaces=a:space=undefined", 409),
        ("interfaces=a:space=dmz,fabric=room,vid=0", 200),
        ("subnets=space:dmz", 200),
        ("not_subnets=space:dmz", 409),
        ("not_subnets=space:other", 200),
        ("interfaces=a:not_space=dmz", 409),
    ] {
        let answer = w.post(&w.demo, "machines/?op=allocate", &format!("dry_run=1&{wish}")).await;
        assert_eq!(answer.status, status, "{wish}: {}", answer.text);
    }
}

#[tokio::test]
async fn addresses_are_kept_and_given_back() {
    for w in worlds().await {
        a_rack(&w, "r1", "10.9.0.1/24").await;
        let id = w.machine("one", 1, Status::Ready).await;
        w.db.write(|tx| {
            let mut s = segment::find(tx, "room")?;
            s.rack = Some(rack::all(tx)?[0].id);
            segment::update(tx, &s)
        })
        .await
        .unwrap();
        let mine = w.post(&w.demo, "ipaddresses/?op=reserve", "subnet=lab&hostname=printer").await.of(200);
        assert_eq!((&mine["ip"], &mine["alloc_type"]), (&json!("10.9.0.2"), &json!(4)));
        w.post(&w.demo, "ipaddresses/?op=reserve", "ip=10.9.0.2").await.of(409);
        w.post(&w.demo, "ipaddresses/?op=reserve", "ip=10.9.0.1").await.of(400);
        w.post(&w.demo, "ipaddresses/?op=reserve", "ip=10.99.0.1").await.of(400);
        assert_eq!(w.get(&w.admin, "ipaddresses/").await.of(200), json!([]));
        assert_eq!(w.get(&w.admin, "ipaddresses/?all=true").await.of(200)[0]["owner"]["username"], "demo");
        w.get(&w.demo, "ipaddresses/?all=true").await.of(403);

        // For the card of a machine, and for one that nobody knows: both are leased to it and nobody else.
        let known = w.made("reservedips/", "ip=10.9.0.50&mac_address=52:54:00:00:00:01&comment=x").await;
        w.made("reservedips/", "ip=10.9.0.51&mac_address=52:54:00:00:00:99").await;
        w.post(&w.admin, "reservedips/", "ip=10.9.0.52&mac_address=52:54:00:00:00:01").await.of(400);
        w.post(&w.demo, "reservedips/", "ip=10.9.0.53&mac_address=52:54:00:00:00:98").await.of(403);
        let r = format!("reservedips/{}/", known["id"]);
        w.put(&r, "ip=10.9.0.60").await.of(400);
        assert_eq!(w.put(&r, "comment=y").await.of(200)["comment"], "y");
        let doc = told(&w).await;
        assert_eq!(doc.fixed.len(), 1, "{:?}", doc.fixed);
        assert_eq!(doc.machines[0].nics[0].addresses, ["10.9.0.50".parse::<std::net::IpAddr>().unwrap()]);
        let name = doc.records.iter().find(|r| r.name == "printer.metal").unwrap();
        assert_eq!((name.kind.as_str(), name.data.as_str()), ("A", "10.9.0.2"));
        let m = w.get(&w.demo, &format!("machines/{id}/")).await.of(200);
        assert_eq!(m["interface_set"][0]["links"][0]["mode"], "static");
        assert_eq!(w.delete(&r).await.status, 204);

        // An address that is chosen is the one that a deployment gives.
        let nic = format!("nodes/{id}/interfaces/{}/", m["interface_set"][0]["id"]);
        w.post(&w.demo, &format!("{nic}?op=link_subnet"), "mode=STATIC&subnet=lab").await.of(403);
        w.post(&w.admin, &format!("{nic}?op=link_subnet"), "mode=STATIC&subnet=lab&ip_address=10.9.0.2")
            .await
            .of(400);
        w.post(&w.admin, &format!("{nic}?op=link_subnet"), "mode=DHCP").await.of(400);
        // What another MAC has a lease of is not chosen or kept until that has run out.
        w.db.write(|tx| {
            let lease = Lease {
                segment: segment::subnets(tx)?[0].segment,
                mac: "52:54:00:00:00:97".into(),
                address: "10.9.0.78".parse().unwrap(),
                hostname: String::new(),
                expires_at: base::Micros::now().plus(std::time::Duration::from_secs(600)),
            };
            crate::table::lease::replace(tx, &[lease.segment], std::slice::from_ref(&lease))
        })
        .await
        .unwrap();
        let taken = "mode=STATIC&subnet=lab&ip_address=10.9.0.78";
        let words = w.post(&w.admin, &format!("{nic}?op=link_subnet"), taken).await;
        assert!(words.text.contains("52:54:00:00:00:97 has a lease"), "{}", words.text);
        words.of(400);
        w.post(&w.demo, "ipaddresses/?op=reserve", "ip=10.9.0.78").await.of(409);
        let own = "ip=10.9.0.78&mac_address=52:54:00:00:00:97";
        let kept = w.made("reservedips/", own).await;
        w.call(&w.admin, "DELETE", &format!("reservedips/{}/", kept["id"]), "").await.of(204);
        let linked =
            w.made(&format!("{nic}?op=link_subnet"), "mode=STATIC&subnet=lab&ip_address=10.9.0.77").await;
        let link = &linked["links"][0];
        assert_eq!((&link["mode"], &link["ip_address"]), (&json!("static"), &json!("10.9.0.77")));
        let given = w.db.write(|tx| {
            let m = crate::table::machine::by_mac(tx, "52:54:00:00:00:01")?.unwrap();
            let n = nic::of(tx, m.id)?.remove(0);
            crate::table::address::give(tx, &n, &segment::subnets(tx)?[0])
        });
        assert_eq!(given.await.unwrap().to_string(), "10.9.0.77");
        w.made(&format!("{nic}?op=unlink_subnet"), &format!("id={}", link["id"])).await;
        w.post(&w.admin, &format!("{nic}?op=unlink_subnet"), "id=1").await.of(400);
        let plain = w.get(&w.demo, &nic).await.of(200);
        assert_eq!(plain["links"][0]["mode"], "auto");
        assert!(plain["links"][0].get("ip_address").is_none());

        w.post(&w.admin, "ipaddresses/?op=release", "ip=10.9.0.2").await.of(404);
        assert_eq!(w.post(&w.demo, "ipaddresses/?op=release", "ip=10.9.0.2").await.status, 204);
        assert!(told(&w).await.records.is_empty());
    }
}

/// What an administrator has reserved for a network card is not its machine's owner's to give back.
#[tokio::test]
async fn an_owner_gives_back_what_was_chosen_only() {
    for w in worlds().await {
        let id = w.machine("one", 1, Status::Ready).await;
        let nic = {
            let m = w.get(&w.admin, &format!("machines/{id}/")).await.of(200);
            format!("nodes/{id}/interfaces/{}/", m["interface_set"][0]["id"])
        };
        w.made("reservedips/", "ip=10.9.0.50&mac_address=52:54:00:00:00:01").await;
        w.post(&w.demo, "machines/?op=allocate", "name=one").await.of(200);
        let links = async || w.get(&w.demo, &nic).await.of(200)["links"].as_array().unwrap().clone();
        let reserved = links().await.remove(0);
        assert_eq!(reserved["ip_address"], "10.9.0.50");
        let unlink = format!("{nic}?op=unlink_subnet");
        let no = w.post(&w.demo, &unlink, &format!("id={}", reserved["id"])).await.of(400);
        assert!(no["id"][0].as_str().unwrap().contains("is reserved for the MAC"), "{no}");
        assert_eq!(w.post(&w.demo, &format!("{nic}?op=disconnect"), "").await.status, 200);
        assert_eq!(links().await[0]["ip_address"], "10.9.0.50");
        assert_eq!(w.get(&w.admin, "reservedips/").await.of(200).as_array().unwrap().len(), 1);

        // Beside it what the owner has chosen, of another subnet.
        w.made("subnets/", "cidr=fd00:9::/64&name=six&fabric=room&vid=0").await;
        let link = format!("{nic}?op=link_subnet");
        for end in [None, Some(format!("{nic}?op=disconnect"))] {
            let now = w.post(&w.demo, &link, "mode=static&subnet=six&ip_address=fd00:9::7").await.of(200);
            let chosen = now["links"].as_array().unwrap().iter().find(|l| l["ip_address"] == "fd00:9::7");
            let by_id = format!("id={}", chosen.unwrap()["id"]);
            let (path, form) = end.as_deref().map_or((unlink.as_str(), by_id.as_str()), |path| (path, ""));
            w.post(&w.demo, path, form).await.of(200);
            let left: Vec<_> = links().await.iter().filter_map(|l| l.get("ip_address").cloned()).collect();
            assert_eq!(left, ["10.9.0.50"]);
        }
    }
}

/// Nobody takes over the name or the card of what is not theirs.
#[tokio::test]
async fn what_is_others_is_not_reserved() {
    for w in worlds().await {
        let theirs = w.machine("theirs", 1, Status::Ready).await;
        let mine = w.machine("mine", 2, Status::Ready).await;
        w.machine("free", 3, Status::Ready).await;
        w.post(&w.admin, "machines/?op=allocate", &format!("system_id={theirs}")).await.of(200);
        w.post(&w.demo, "machines/?op=allocate", &format!("system_id={mine}")).await.of(200);
        let keep = async |key: &str, form: &str, status: u16| {
            let path = "ipaddresses/?op=reserve";
            w.post(key, path, &format!("subnet=lab&{form}")).await.of(status);
        };
        keep(&w.admin, "hostname=printer", 200).await;
        for theirs in [
            "mac=52:54:00:00:00:01",
            "mac=52:54:00:00:00:03",
            "hostname=theirs",
            "hostname=Free.metal.",
            "hostname=printer",
        ] {
            keep(&w.demo, theirs, 409).await;
        }
        let kept = w.get(&w.admin, "ipaddresses/?all=true").await.of(200);
        assert_eq!(kept.as_array().unwrap().len(), 1, "{kept}");
        for good in ["mac=52:54:00:00:00:02", "mac=52:54:00:00:00:77", "hostname=scanner"] {
            keep(&w.demo, good, 200).await;
        }
        keep(&w.admin, "mac=52:54:00:00:00:01", 200).await;
        keep(&w.admin, "hostname=printer", 200).await;
    }
}

/// A subnet of IPv6 has more addresses than anybody counts: what may not be given is passed over as a whole.
#[tokio::test]
async fn a_subnet_of_any_size_is_searched_at_once() {
    for w in worlds().await {
        w.made("fabrics/", "name=lab").await;
        let form = "cidr=fd00:9::/64&name=six&fabric=lab&vid=0";
        let subnet = w.made("subnets/", &format!("{form}&managed=false")).await;
        let keep = "ipaddresses/?op=reserve";
        // Nothing of it is ours to give.
        let no = w.post(&w.demo, keep, "subnet=six").await;
        assert!(no.status == 409 && no.text.contains("not managed"), "{} {}", no.status, no.text);
        w.made("ipranges/", "type=dynamic&start_ip=fd00:9::2&end_ip=fd00:9::ffff:ffff:ffff:ffff").await;
        w.post(&w.demo, keep, "subnet=six").await.of(409);
        w.put(&format!("subnets/{}/", subnet["id"]), "managed=true").await.of(200);
        assert_eq!(w.post(&w.demo, keep, "subnet=six").await.of(200)["ip"], "fd00:9::1");
        w.post(&w.demo, keep, "subnet=six").await.of(409);
    }
}

/// More addresses than were once tried are taken, one after the other.
#[tokio::test]
async fn a_free_address_is_found_behind_many_that_are_taken() {
    let w = World::on_sqlite().await;
    w.made("fabrics/", "name=lab").await;
    w.made("subnets/", "cidr=10.8.0.0/16&name=wide&fabric=lab&vid=0").await;
    w.db.write(|tx| {
        let id = segment::subnets(tx)?[0].id.clone();
        for n in 1..5000_u32 {
            let a = std::net::Ipv4Addr::from_bits(0x0a08_0000 + n).to_string();
            let sql =
                "INSERT INTO metal_address (subnet_id, address, kind, created_at) VALUES ($1, $2, 'user', 1)";
            tx.exec(sql, store::params![&id, a])?;
        }
        Ok(())
    })
    .await
    .unwrap();
    let kept = w.post(&w.demo, "ipaddresses/?op=reserve", "subnet=wide").await.of(200);
    assert_eq!(kept["ip"], "10.8.19.136");
}

#[tokio::test]
async fn names_are_kept_for_racks() {
    for w in worlds().await {
        a_rack(&w, "r1", "10.9.0.1/24").await;
        let d = w.made("domains/", "name=lab.example&ttl=600").await;
        w.post(&w.admin, "domains/", "name=LAB.example").await.of(400);
        w.post(&w.admin, "domains/", "name=not%20one").await.of(400);
        let n = w
            .made("dnsresources/", "fqdn=db.lab.example&ip_addresses=10.9.0.9%20fd00::9&address_ttl=60")
            .await;
        assert_eq!((&n["fqdn"], n["ip_addresses"].as_array().unwrap().len()), (&json!("db.lab.example"), 2));
        w.post(&w.admin, "dnsresources/", "name=db&domain=lab.example&ip_addresses=10.9.0.9").await.of(400);
        w.post(&w.admin, "dnsresources/", "fqdn=db.elsewhere&ip_addresses=10.9.0.9").await.of(400);
        w.post(&w.admin, "dnsresources/", "fqdn=x.lab.example&ip_addresses=ten").await.of(400);
        w.post(&w.demo, "dnsresources/", "fqdn=x.lab.example&ip_addresses=10.9.0.8").await.of(403);
        let txt = w.made("dnsresourcerecords/", "fqdn=db.lab.example&rrtype=txt&rrdata=hello%20you").await;
        let alias = w
            .made(
                "dnsresourcerecords/",
                "name=www&domain=lab.example&rrtype=CNAME&rrdata=db.lab.example&ttl=5",
            )
            .await;
        for bad in [
            "rrtype=A&rrdata=10.0.0.1",
            "rrtype=MX&rrdata=mail",
            "rrtype=CNAME&rrdata=x",
            "rrtype=LOC&rrdata=x",
        ] {
            w.post(&w.admin, "dnsresourcerecords/", &format!("fqdn=db.lab.example&{bad}")).await.of(400);
        }
        w.made("dnsresources/", "fqdn=gate.metal&ip_addresses=10.9.0.1").await;
        let doc = told(&w).await;
        assert_eq!(doc.zones, ["lab.example"]);
        let mut said: Vec<_> =
            doc.records.iter().map(|r| format!("{} {} {} {:?}", r.name, r.kind, r.data, r.ttl)).collect();
        said.sort();
        assert_eq!(
            said,
            [
                "db.lab.example A 10.9.0.9 Some(60)",
                "db.lab.example AAAA fd00::9 Some(60)",
                "db.lab.example TXT hello you Some(600)",
                "gate.metal A 10.9.0.1 None",
                "www.lab.example CNAME db.lab.example Some(5)",
            ]
        );
        let found = w.get(&w.demo, "dnsresources/?fqdn=db.lab.example").await.of(200);
        assert_eq!(found[0]["resource_records"][0]["rrdata"], "hello you");
        assert_eq!(w.get(&w.demo, "dnsresourcerecords/?rrtype=CNAME").await.of(200)[0]["id"], alias["id"]);
        assert_eq!(w.get(&w.demo, "domains/lab.example/").await.of(200)["resource_record_count"], 4);
        let one = format!("dnsresources/{}/", n["id"]);
        assert_eq!(w.put(&one, "ip_addresses=10.9.0.10").await.of(200)["ip_addresses"][0]["ip"], "10.9.0.10");
        let r = format!("dnsresourcerecords/{}/", txt["id"]);
        assert_eq!(w.put(&r, "rrdata=bye").await.of(200)["rrdata"], "bye");
        // With its last record a name goes; with a domain all of it.
        assert_eq!(w.delete(&format!("dnsresourcerecords/{}/", alias["id"])).await.status, 204);
        assert_eq!(w.get(&w.demo, "dnsresources/?name=www").await.of(200), json!([]));
        w.put("domains/0/", "name=x").await.of(400);
        assert_eq!(w.delete("domains/0/").await.status, 400);
        assert_eq!(w.delete(&format!("domains/{}/", d["id"])).await.status, 204);
        assert_eq!(told(&w).await.records.len(), 1);
    }
}

#[tokio::test]
async fn routes_are_told_to_deployed_systems() {
    let w = World::on_sqlite().await;
    let id = w.machine("one", 1, Status::Ready).await;
    let far = w.made("subnets/", "cidr=10.44.0.0/16").await;
    let form = format!("source=lab&destination={}&gateway_ip=10.9.0.254&metric=10", far["id"]);
    let route = w.made("static-routes/", &form).await;
    assert_eq!(route["destination"]["cidr"], "10.44.0.0/16");
    w.post(&w.admin, "static-routes/", &form.replace("10.9.0.254", "10.8.0.1")).await.of(400);
    w.post(&w.admin, "static-routes/", "gateway_ip=10.9.0.254").await.of(400);
    let r = format!("static-routes/{}/", route["id"]);
    assert_eq!(w.put(&r, "metric=7").await.of(200)["metric"], 7);
    let network = w.db.write(move |tx| {
        let m = crate::table::machine::by_any(tx, &id)?.unwrap();
        let mut nics = nic::of(tx, m.id)?;
        nics[0].boot = true;
        crate::seed::network(tx, &nics)
    });
    let network = network.await.unwrap();
    let way =
        json!([{"network": "10.44.0.0", "netmask": "255.255.0.0", "gateway": "10.9.0.254", "metric": 7}]);
    assert_eq!(network["networks"][0]["routes"], way);
    assert_eq!(w.delete(&r).await.status, 204);
    assert_eq!(w.get(&w.demo, "static-routes/").await.of(200), json!([]));
}
