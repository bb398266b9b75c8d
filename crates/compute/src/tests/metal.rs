//! Machines as servers: the keeper over the metal service's tables, whose own life-cycle the test plays.

use super::world::{World, worlds};
use crate::metal::Keeper;
use ::metal::act::NewMachine;
use ::metal::model::{Errand, Machine, Sight, Status};
use ::metal::table::{errand, machine, rack, segment};
use ::metal::{Metal, Seal};
use base::doc::rack::{Bmc, DhcpMode};
use base::{MachineId, Micros, SegmentId, ServerId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use store::params;
use store::work::Ran;

const MAC: &str = "52:54:00:00:00:01";

struct Open;

impl Seal for Open {
    fn seal(&self, secret: &str) -> String {
        secret.to_owned()
    }
    fn unseal(&self, sealed: &str) -> base::Result<String> {
        Ok(sealed.to_owned())
    }
}

/// A world with one machine that is ready, on the segment `metal0`, to which the private network belongs.
struct Yard {
    w: World,
    metal: Arc<Metal>,
    keeper: Keeper,
    id: MachineId,
}

impl Yard {
    async fn on(mut w: World) -> Yard {
        let metal = Metal::new(w.db.clone(), Arc::new(Open));
        let m = metal.clone();
        let id = w.db.write(move |tx| {
            let segment = segment::Segment {
                id: SegmentId::new(),
                number: 1,
                name: "metal0".into(),
                rack: None,
                interface: String::new(),
                dhcp: DhcpMode::Off,
                enlist: true,
                description: String::new(),
                free: 0,
                foreign_dhcp: vec![],
                reason: String::new(),
                created_at: Micros::now(),
            };
            segment::insert(tx, &segment)?;
            let new = NewMachine {
                name: "big-1".into(),
                macs: vec![MAC.into()],
                segment: Some(segment.id),
                resource_class: Some("big".into()),
                ..NewMachine::default()
            };
            let id = m.create(tx, &new)?.id;
            tx.exec(
                "UPDATE machine SET cores = 4, memory_mib = 8192, disk_bytes = $2, inventory_at = 1 WHERE id = $1",
                params![id, 100_i64 << 30],
            )?;
            machine::set_status(tx, id, Status::Ready, "")?;
            let uplink = json!({"kind": "nic", "device": "metal0"}).to_string();
            tx.exec("UPDATE network SET uplink = $1 WHERE name = 'private'", params![uplink])?;
            Ok(id)
        });
        let id = id.await.unwrap();
        w.flavor = "metal.big";
        let keeper = Keeper::new(w.db.clone(), metal.clone());
        keeper.look().await.unwrap();
        Yard { w, metal, keeper, id }
    }

    async fn machine(&self) -> Machine {
        let id = self.id;
        self.w.db.read(move |tx| Ok(machine::by_id(tx, id)?.unwrap())).await.unwrap()
    }
    /// The metal service's life-cycle and a rack bring the machine there.
    async fn becomes(&self, status: Status, power: bool) {
        let id = self.id;
        let write = move |tx: &store::Tx<'_>| {
            machine::set_status(tx, id, status, "so the test says")?;
            if status == Status::Ready {
                tx.exec("UPDATE machine SET project_id = '', user_id = '' WHERE id = $1", params![id])?;
            }
            let cycles = machine::by_id(tx, id)?.unwrap().power_cycles;
            machine::set_sight(tx, id, &Sight { power: Some(power), cycles, ..Sight::default() })
        };
        self.w.db.write(write).await.unwrap();
        self.turn(None).await;
    }
    /// Steps of a server, and looks of the keeper.
    async fn turn(&self, server: Option<ServerId>) {
        for _ in 0..6 {
            self.keeper.look().await.unwrap();
            if let Some(id) = server {
                while self.w.engine.run_one(&id.to_string(), true).await.unwrap() == Ran::Committed {}
            }
        }
    }
    async fn errand(&self) -> Errand {
        let id = self.id;
        self.w.db.read(move |tx| Ok(errand::get(tx, &Open, id)?.unwrap())).await.unwrap()
    }
    async fn service(&self) -> Value {
        let all = self.w.admin("2.53", "GET", "/os-hypervisors/detail", None).await.expect(200);
        all["hypervisors"]
            .as_array()
            .unwrap()
            .iter()
            .find(|h| h["hypervisor_hostname"] == "big-1")
            .unwrap()
            .clone()
    }
    /// A server that runs on the machine.
    async fn active(&self) -> ServerId {
        let id = self.w.create("db").await;
        self.turn(Some(id)).await;
        self.becomes(Status::Deployed, true).await;
        self.turn(Some(id)).await;
        assert!(self.w.calm(id, "ACTIVE").await, "{}", self.w.why(id).await);
        id
    }
}

async fn yards() -> Vec<Yard> {
    let mut all = Vec::new();
    for w in worlds().await {
        all.push(Yard::on(w).await);
    }
    all
}

#[tokio::test]
async fn a_server_is_a_machine_from_create_to_delete() {
    for y in yards().await {
        let flavor = y.w.get("/flavors/metal.big").await;
        assert_eq!((&flavor["flavor"]["vcpus"], &flavor["flavor"]["ram"]), (&json!(4), &json!(8192)));
        assert_eq!(
            (&y.service().await["hypervisor_type"], &y.service().await["status"]),
            (&json!("ironic"), &json!("enabled"))
        );

        let id = y.w.create("db").await;
        y.turn(Some(id)).await;
        assert_eq!(y.w.status(id).await, "BUILD");
        let m = y.machine().await;
        assert_eq!((m.status, m.project.as_str()), (Status::Deploying, "a"));
        // What is written, and that the system finds its address without being given one.
        let Errand::Deploy(d) = y.errand().await else { panic!("nothing is written") };
        assert_eq!((d.image, d.sha512.len()), (y.w.image, 128));
        let network: Value =
            serde_json::from_str(&d.seed.drive["openstack/latest/network_data.json"]).unwrap();
        assert_eq!(
            (&network["links"][0]["ethernet_mac_address"], &network["networks"][0]["type"]),
            (&json!(MAC), &json!("ipv4"))
        );
        let address = network["networks"][0]["ip_address"].as_str().unwrap();
        y.becomes(Status::Deployed, true).await;
        y.turn(Some(id)).await;
        assert!(y.w.calm(id, "ACTIVE").await, "{}", y.w.why(id).await);
        let shown = y.w.get(&format!("/servers/{id}")).await;
        assert_eq!(shown["server"]["addresses"]["private"][0]["addr"], address);
        assert_eq!(shown["server"]["addresses"]["private"][0]["OS-EXT-IPS-MAC:mac_addr"], MAC);

        y.w.delete(id).await;
        y.turn(Some(id)).await;
        assert_eq!(y.w.status(id).await, "GONE");
        assert_eq!(y.machine().await.status, Status::DiskErasing);
        assert_eq!(y.service().await["status"], "disabled", "until it is clean");
        y.w.nothing_left().await;
        y.becomes(Status::Ready, false).await;
        assert_eq!(y.service().await["status"], "enabled");
        // And again, by another.
        y.active().await;
    }
}

#[tokio::test]
async fn user_data_may_be_anything() {
    for y in yards().await {
        let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xfe];
        let mut wish = y.w.wish("db");
        wish["user_data"] = STANDARD.encode(packed).into();
        let body = Some(json!({"server": wish}));
        let made = y.w.member("2.79", "POST", "/servers", body).await.expect(202);
        y.turn(made["server"]["id"].as_str().unwrap().parse().ok()).await;
        let Errand::Deploy(d) = y.errand().await else { panic!("nothing is written") };
        let path = "openstack/latest/user_data";
        assert_eq!(STANDARD.decode(&d.seed.drive_base64[path]).unwrap(), packed);
        assert!(!d.seed.drive.contains_key(path), "once");
        assert!(d.seed.drive.contains_key("openstack/latest/meta_data.json"));
    }
}

#[tokio::test]
async fn power_and_rebuild_reach_the_machine_and_nothing_else_does() {
    for y in yards().await {
        let id = y.active().await;
        y.w.act(id, json!({"os-stop": null})).await.expect(202);
        y.turn(Some(id)).await;
        assert_eq!(y.machine().await.want_power, Some(false));
        y.becomes(Status::Deployed, false).await;
        y.turn(Some(id)).await;
        assert!(y.w.calm(id, "SHUTOFF").await);
        y.w.act(id, json!({"os-start": null})).await.expect(202);
        y.turn(Some(id)).await;
        assert_eq!(y.machine().await.want_power, Some(true));
        y.becomes(Status::Deployed, true).await;
        y.turn(Some(id)).await;
        assert!(y.w.calm(id, "ACTIVE").await);
        let before = y.machine().await.power_cycles;
        y.w.act(id, json!({"reboot": {"type": "HARD"}})).await.expect(202);
        y.turn(Some(id)).await;
        let after = y.machine().await;
        assert_eq!((after.power_cycles, after.power_hard), (before + 1, true), "once");
        assert_eq!(y.w.status(id).await, "HARD_REBOOT");
        y.becomes(Status::Deployed, true).await;
        y.turn(Some(id)).await;
        assert!(y.w.calm(id, "ACTIVE").await);
        // Shut down from inside.
        y.becomes(Status::Deployed, false).await;
        y.turn(Some(id)).await;
        assert!(y.w.calm(id, "SHUTOFF").await);
        y.w.act(id, json!({"os-start": null})).await.expect(202);
        y.turn(Some(id)).await;
        y.becomes(Status::Deployed, true).await;
        y.turn(Some(id)).await;
        assert!(y.w.calm(id, "ACTIVE").await);

        y.w.act(id, json!({"rebuild": {"imageRef": y.w.image}})).await.expect(202);
        y.turn(Some(id)).await;
        assert_eq!((y.machine().await.status, y.w.status(id).await.as_str()), (Status::Deploying, "REBUILD"));
        y.becomes(Status::Deployed, true).await;
        y.turn(Some(id)).await;
        assert!(y.w.calm(id, "ACTIVE").await, "{}", y.w.why(id).await);

        for action in
            [json!({"pause": null}), json!({"suspend": null}), json!({"createImage": {"name": "x"}})]
        {
            let why = y.w.act(id, action).await.refused(501);
            assert!(why.contains("is a machine of its own"), "{why}");
        }
        let body = json!({"interfaceAttachment": {}});
        y.w.member("2.79", "POST", &format!("/servers/{id}/os-interface"), Some(body)).await.refused(501);
    }
}

#[tokio::test]
async fn a_disk_that_somebody_uses_is_not_written_unless_that_is_asked() {
    for y in yards().await {
        let id = y.active().await;
        let machine = y.id;
        let was = move |tx: &store::Tx<'_>| machine::set(tx, machine, "deployed_at", Micros::now());
        y.w.db.write(was).await.unwrap();
        y.becomes(Status::Allocated, true).await;
        y.turn(Some(id)).await;
        assert_eq!(y.machine().await.status, Status::Allocated, "nothing is written");
        let why = y.w.why(id).await.to_string();
        assert!(why.contains("what is on its disk was kept: rebuild the server"), "{why}");
        y.w.act(id, json!({"rebuild": {"imageRef": y.w.image}})).await.expect(202);
        y.turn(Some(id)).await;
        assert_eq!(y.machine().await.status, Status::Deploying, "now it is");
    }
}

#[tokio::test]
async fn what_cannot_be_says_why() {
    for y in yards().await {
        let first = y.active().await;
        let second = y.w.create("second").await;
        y.turn(Some(second)).await;
        assert_eq!(y.w.status(second).await, "ERROR");
        let shown = y.w.get(&format!("/servers/{second}")).await;
        let why = shown["server"]["fault"]["message"].as_str().unwrap();
        assert!(why.contains("1 machine: 1 is disabled"), "{why}");
        // An operator takes the machine away: the server says so, and can be deleted.
        let (metal, id) = (y.metal.clone(), y.id);
        y.w.db.write(move |tx| metal.release(tx, id, base::doc::live::EraseMode::None)).await.unwrap();
        y.becomes(Status::Ready, false).await;
        y.turn(Some(first)).await;
        let why = y.w.why(first).await.to_string();
        assert!(why.contains("was taken back by an operator"), "{why}");
        y.w.delete(first).await;
        y.w.delete(second).await;
        y.turn(Some(first)).await;
        y.turn(Some(second)).await;
        assert_eq!((y.w.status(first).await, y.machine().await.status), ("GONE".into(), Status::Ready));
        // A network between hypervisors does not reach a machine.
        y.w.db
            .write(|tx| tx.exec("UPDATE network SET uplink = NULL WHERE name = 'private'", &[]))
            .await
            .unwrap();
        let third = y.w.create("third").await;
        y.turn(Some(third)).await;
        let why = y.w.why(third).await.to_string();
        assert!(why.contains("Machines reach physical networks"), "{why}");
        y.w.delete(third).await;
        y.turn(Some(third)).await;
        assert_eq!(y.machine().await.status, Status::Ready);
        y.w.nothing_left().await;
    }
}

#[tokio::test]
async fn its_serial_console_is_the_machines_own() {
    for y in yards().await {
        let id = y.active().await;
        let path = format!("/servers/{id}/remote-consoles");
        let wish = |protocol: &str, kind: &str| {
            Some(json!({"remote_console": {"protocol": protocol, "type": kind}}))
        };
        let words = y.w.member("2.6", "POST", &path, wish("serial", "serial")).await.refused(409);
        assert!(words.contains("no serial console"), "{words}");
        let (metal, machine) = (y.metal.clone(), y.id);
        y.w.db
            .write(move |tx| {
                rack::admit(tx, base::RackId::new(), "r1", "proof")?;
                let bmc = Bmc::Ipmi {
                    address: "10.0.0.9".into(),
                    port: 0,
                    user: "u".into(),
                    password: "p".into(),
                    cipher: None,
                };
                let change = ::metal::act::Change { bmc: Some(bmc), ..Default::default() };
                metal.change(tx, machine, &change).map(drop)
            })
            .await
            .unwrap();
        let made = y.w.member("2.6", "POST", &path, wish("serial", "serial")).await.expect(200);
        let url = made["remote_console"]["url"].as_str().unwrap();
        assert!(url.contains("/hanok/v1/machine-console?token="), "{url}");
        y.w.member("2.6", "POST", &path, wish("vnc", "novnc")).await.refused(501);
        let words = y.w.act(id, json!({"os-getConsoleOutput": {}})).await.refused(501);
        assert!(words.contains("hanok console "), "{words}");
        // What somebody saw in it is kept.
        let said = "one\ntwo\nlogin: ";
        let keep = "INSERT INTO machine_console_log SELECT id, project_id, $2 FROM machine WHERE id = $1";
        y.w.db.write(move |tx| tx.exec(keep, store::params![machine, said])).await.unwrap();
        let log = y.w.act(id, json!({"os-getConsoleOutput": {}})).await.expect(200);
        assert_eq!(log["output"], said);
        let log = y.w.act(id, json!({"os-getConsoleOutput": {"length": 1}})).await.expect(200);
        assert_eq!(log["output"], "login: ");
    }
}
