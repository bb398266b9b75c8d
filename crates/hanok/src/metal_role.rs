//! The region's side of machines, wired to the other services.

use crate::channel::Channel;
use crate::config::Config;
use crate::region::Region;
use base::{RackId, Result, SegmentId};
use identity::Identity;
use image::Image;
use metal::table::{rack, segment};
use metal::{Hosts, Metal, Settings};
use std::sync::Arc;
use std::time::Duration;
use store::{Db, Tx};

/// How long a machine has to become a host after it was written.
const JOINS_WITHIN: Duration = Duration::from_secs(6 * 3600);

/// Puts the service together.
pub fn open(
    config: &Config,
    db: &Db,
    identity: &Arc<Identity>,
    image: &Arc<Image>,
    channel: Option<&Channel>,
) -> Arc<Metal> {
    let authority = channel.map(|c| c.authority.clone());
    let fingerprint = authority.as_ref().map(|a| a.fingerprint());
    let settings = Settings {
        region_url: config.url(),
        patience: config.metal,
        hosts: Some(Arc::new(Doors { fingerprint, address: address(config) })),
        ..Settings::default()
    };
    Metal::with(db.clone(), identity.clone(), Some(image.clone()), authority, settings)
}

/// `host:port` at which other computers find the region.
fn address(config: &Config) -> String {
    let url = config.url();
    let authority = url.split("//").nth(1).unwrap_or(&url);
    authority.trim_end_matches('/').to_owned()
}

struct Doors {
    fingerprint: Option<String>,
    address: String,
}

impl Hosts for Doors {
    fn invite(&self, tx: &Tx<'_>, name: &str) -> Result<String> {
        let wish = compute::Invitation { name: Some(name.to_owned()), zone: None, life: JOINS_WITHIN };
        let made = compute::invite(tx, &wish)?;
        let token = compute::with_fingerprint(&made.secret, self.fingerprint.clone());
        Ok(format!("{token}@{}", self.address))
    }
}

/// Machines behind one simulated rack.
const PER_RACK: u32 = 100;

/// Makes racks known for so many simulated machines; ids come from their numbers, so that a restart finds the same.
pub async fn simulated(region: &Region, machines: u32, secret: &str) -> Result<Vec<sim::machines::Rack>> {
    let numbers: Vec<u32> = (1..=machines).collect();
    let racks: Vec<sim::machines::Rack> = numbers
        .chunks(PER_RACK as usize)
        .zip(1..)
        .map(|(machines, n)| sim::machines::Rack {
            id: RackId(numbered(n, 0x52)),
            segment: SegmentId(numbered(n, 0x53)),
            token: format!("{secret}-rack-{n}"),
            machines: machines.to_vec(),
        })
        .collect();
    let made = racks.clone();
    region
        .db
        .write(move |tx| {
            for (r, n) in made.iter().zip(1..) {
                rack::admit(tx, r.id, &format!("sim-rack-{n:02}"), &metal::token_hash(&r.token))?;
                if segment::by_id(tx, r.segment)?.is_none() {
                    segment::insert(tx, &a_segment(r, n))?;
                }
            }
            Ok(())
        })
        .await?;
    Ok(racks)
}

fn a_segment(r: &sim::machines::Rack, n: u32) -> segment::Segment {
    segment::Segment {
        id: r.segment,
        number: 0,
        name: format!("sim-segment-{n:02}"),
        rack: Some(r.id),
        interface: "sim".into(),
        dhcp: base::doc::rack::DhcpMode::Serve,
        enlist: true,
        description: String::new(),
        free: 0,
        foreign_dhcp: Vec::new(),
        reason: String::new(),
        created_at: base::Micros::now(),
    }
}

fn numbered(n: u32, kind: u8) -> uuid::Uuid {
    let mut id = [0_u8; 16];
    (id[0], id[6], id[8]) = (kind, 0x40, 0x80);
    id[12..].copy_from_slice(&n.to_be_bytes());
    uuid::Uuid::from_bytes(id)
}
