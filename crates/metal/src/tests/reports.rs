//! What racks report, with what others on the wire have put into it.

use super::world::{Room, World, worlds};
use crate::table::{lease, machine, segment};
use base::Micros;
use base::doc::rack::{Lease, RackMachineStatus, RackObserved, SegmentStatus, Stranger};
use serde_json::{Value, json};
use std::time::Duration;

impl World {
    /// What a rack with nothing to say says.
    fn report(&self) -> RackObserved {
        RackObserved {
            version: 1,
            rack: self.rack,
            applied: 0,
            agent_version: "test".into(),
            interfaces: vec![],
            segments: vec![],
            machines: vec![],
            images: vec![],
            leases: vec![],
            strangers: vec![],
        }
    }

    async fn take(&self, report: Value) {
        let headers = [("authorization", "Bearer the-rack")];
        self.send(&headers, "PUT", "/rack/v1/observed", Some(report)).await.of(204);
    }

    fn stranger(&self, mac: &str, last_at: Micros) -> Stranger {
        Stranger {
            segment: self.segment,
            mac: mac.into(),
            uuid: "id\0".into(),
            arch: 7,
            address: None,
            first_at: last_at,
            last_at,
        }
    }
}

/// PostgreSQL keeps no zero character: a rack that passes one on would be refused again and again.
#[tokio::test]
async fn a_zero_character_silences_no_rack() {
    for w in worlds().await {
        let mut room = Room::new(&["52:54:00:00:00:01"]);
        let id = w.found(&mut room).await;
        let (now, later) = (Micros::now(), Micros::now().plus(Duration::from_secs(600)));
        let document = room.document.clone().unwrap();
        let report = RackObserved {
            applied: document.generation,
            agent_version: "test\0".into(),
            segments: vec![SegmentStatus {
                id: w.segment,
                free: 9,
                foreign_dhcp: vec![],
                reason: "a part\0 does not work".into(),
            }],
            machines: vec![RackMachineStatus {
                id,
                power: Some(true),
                cycles: 0,
                reason: "the BMC said \0".into(),
                read_at: Some(now),
                boot_at: None,
                boot_answer: String::new(),
            }],
            leases: vec![Lease {
                segment: w.segment,
                mac: "52:54:00:00:00:77".into(),
                address: "10.9.0.177".parse().unwrap(),
                hostname: "print\0er\0".into(),
                expires_at: later,
            }],
            strangers: vec![w.stranger("52:54:00:00:00:78", now)],
            ..w.report()
        };
        w.take(serde_json::to_value(report).unwrap()).await;
        let of = w.segment;
        let seen = w.db.read(move |tx| {
            let m = machine::by_id(tx, id)?.unwrap();
            let s = segment::by_id(tx, of)?.unwrap();
            Ok((
                lease::all(tx)?.remove(0).hostname,
                lease::strangers(tx)?.remove(0).uuid,
                m.seen.reason,
                s.reason,
            ))
        });
        let (host, uuid, power, part) = seen.await.unwrap();
        assert_eq!((host.as_str(), uuid.as_str()), ("printer", "id"));
        assert_eq!((power.as_str(), part.as_str()), ("the BMC said ", "a part does not work"));
    }
}

/// Whoever makes up network cards fills no database with them.
#[tokio::test]
async fn strangers_are_forgotten_after_a_week() {
    for w in worlds().await {
        let days = |n: u64| Micros::now().minus(Duration::from_secs(n * 86_400));
        let told =
            [("52:54:00:00:00:01", 8), ("52:54:00:00:00:02", 6)].map(|(mac, n)| w.stranger(mac, days(n)));
        w.take(json!(RackObserved { strangers: told.to_vec(), ..w.report() })).await;
        let next = w.stranger("52:54:00:00:00:03", days(0));
        w.take(json!(RackObserved { strangers: vec![next], ..w.report() })).await;
        let left = w.db.read(lease::strangers).await.unwrap();
        let left: Vec<_> = left.iter().map(|s| s.mac.as_str()).collect();
        assert_eq!(left, ["52:54:00:00:00:03", "52:54:00:00:00:02"]);
    }
}

/// Whoever makes up DHCP servers fills no history with them.
#[tokio::test]
async fn other_dhcp_servers_are_told_of_when_they_come() {
    for w in worlds().await {
        let tell = async |from: u8, n: u8| {
            let servers = (from..from + n).map(|n| std::net::IpAddr::from([10, 9, 1, n]));
            let told = SegmentStatus {
                id: w.segment,
                free: 9,
                foreign_dhcp: servers.collect(),
                reason: String::new(),
            };
            w.take(json!(RackObserved { segments: vec![told], ..w.report() })).await;
        };
        let noted = async || {
            let sql = "SELECT message FROM event WHERE kind = 'segment.foreign_dhcp' ORDER BY id";
            w.db.read(move |tx| tx.rows(sql, &[], |r| r.get::<String>(0))).await.unwrap()
        };
        tell(1, 40).await;
        tell(50, 40).await;
        let of = w.segment;
        let kept = w.db.read(move |tx| segment::by_id(tx, of)).await.unwrap().unwrap().foreign_dhcp;
        assert_eq!(kept.len(), 16);
        let words = noted().await;
        assert!(words.len() == 1 && words[0].contains("10.9.1.1 and 15 more"), "{words:?}");
        tell(1, 0).await;
        tell(7, 1).await;
        assert!(noted().await.len() == 2 && noted().await[1].contains("(10.9.1.7)"));
    }
}
