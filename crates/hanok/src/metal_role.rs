//! The region's side of machines, wired to the other services.

use crate::channel::Channel;
use crate::config::Config;
use base::Result;
use identity::Identity;
use image::Image;
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
