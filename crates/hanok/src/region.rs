//! The control plane: opens the database, puts the services on one router, runs the work engine.

use crate::channel;
use crate::config::Config;
use crate::site::Site;
use api::{Gate, Listed};
use axum::Router;
use axum::response::Response;
use base::{Fault, Result};
use compute::Compute;
use identity::Identity;
use image::Image;
use metal::Metal;
use network::Network;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::process::{self, Pulse};
use store::{Db, clock, work::Engine};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Every service of one region process.
pub struct Region {
    pub db: Db,
    pub identity: Arc<Identity>,
    pub image: Arc<Image>,
    pub network: Arc<Network>,
    pub compute: Arc<Compute>,
    pub metal: Arc<Metal>,
    portal: Arc<portal::Portal>,
    /// Who lets people and programs in.
    sessions: Arc<portal::Sessions>,
    /// What it shows where it speaks TLS.
    pub channel: Option<channel::Channel>,
    public_url: Option<String>,
    /// Where images that arrive in pieces wait for the rest.
    uploads: std::path::PathBuf,
    /// This process, by the name of its data directory, which one process at a time works on.
    pub process: String,
    keep_deleted_days: u64,
    keep: store::log::Keep,
}

impl Region {
    pub async fn open(site: &Site) -> Result<Region> {
        let db = database(&site.config, &site.file("hanok.db")).await?;
        clock::follow(&db).await?;
        let (name, _) = site.secret("region-name")?;
        let process = process::new_id(&name);
        // Before anything is tidied up: the others leave alone what is ours, and we what is theirs.
        let mut pulse = Pulse::new(db.clone(), &process, VERSION);
        pulse.beat().await?;
        match Region::on(site, db, process).await {
            Ok(region) => Ok(region),
            Err(fault) => {
                // The others need not wait for one that never was.
                let _ = pulse.stop().await;
                Err(fault)
            }
        }
    }

    async fn on(site: &Site, db: Db, process: String) -> Result<Region> {
        let identity =
            Identity::open(db.clone(), &site.file("master-key"), site.config.identity.clone()).await?;
        let image = Image::open(db.clone(), &site.images(), site.config.image.clone(), &process).await?;
        let network = Arc::new(Network::new(db.clone()));
        let mtu = site.config.overlay_mtu;
        db.write(move |tx| network::for_hosts::configure_mtu(tx, mtu)).await?;
        let blobs = Arc::new(ImageBlobs(image.clone()));
        let channel = channel::open(&site.config, &db, &identity).await?;
        let hosts = channel.as_ref().map(|c| {
            let (authority, client) = (c.authority.clone(), c.front.client()?);
            Ok::<_, base::Fault>(compute::Channel { authority, client })
        });
        let compute =
            Compute::over(db.clone(), compute::Limits::with(&site.config.compute), blobs, hosts.transpose()?);
        let metal = crate::metal_role::open(&site.config, &db, &identity, &image, channel.as_ref());
        let public_url = site.config.public_url.clone();
        let keep_deleted_days = site.config.compute.keep_deleted_days;
        let keep =
            store::log::Keep { events: site.config.keep_events_days, audit: site.config.keep_audit_days };
        compute::set_silent_after(Duration::from_secs(site.config.compute.silent_after_s));
        compute.watch().begin().await?;
        let idle = Duration::from_secs(site.config.portal.idle_s.max(60));
        let sessions = portal::Sessions::new(db.clone(), identity.clone(), idle);
        let about = about(site)?;
        let portal = portal::Portal::new(db.clone(), identity.clone(), sessions.clone(), about);
        let portal = Arc::new(portal);
        Ok(Region {
            db,
            identity,
            image,
            network,
            compute,
            metal,
            portal,
            sessions,
            channel,
            public_url,
            uploads: site.file("maas-uploads"),
            process,
            keep_deleted_days,
            keep,
        })
    }

    pub fn front(&self) -> Option<Arc<tls::Front>> {
        self.channel.as_ref().map(|c| c.front.clone())
    }

    /// The table of contents: what answers where.
    pub fn router(&self) -> Router {
        let gate = Gate { authority: self.sessions.clone(), public_url: self.public_url.clone() };
        let db = self.db.clone();
        Router::new()
            .route("/health", axum::routing::get(move || health(db.clone())))
            .merge(identity::service().router(self.identity.clone(), &gate))
            .merge(identity::own_service().router(self.identity.clone(), &gate))
            .merge(image::service().router(self.image.clone(), &gate))
            .merge(image::own_service().router(self.image.clone(), &gate))
            .merge(network::service().router(self.network.clone(), &gate))
            .merge(network::own_service().router(self.network.clone(), &gate))
            .merge(compute::service().router(self.compute.clone(), &gate))
            .merge(compute::placement_service().router(self.compute.clone(), &gate))
            .merge(compute::agent_service().router(self.compute.clone(), &gate))
            .merge(compute::console_service().router(self.compute.clone(), &gate))
            .merge(metal::rack_service().router(self.metal.clone(), &gate))
            .merge(metal::live_service().router(self.metal.clone(), &gate))
            .merge(metal::own_service().router(self.metal.clone(), &gate))
            .merge(portal::service().router(self.portal.clone(), &gate))
            .merge(portal::pages(welcome()))
            .merge(metal::maas::router(self.maas()))
    }

    fn maas(&self) -> Arc<metal::maas::Door> {
        let (metal, identity, image) = (self.metal.clone(), self.identity.clone(), self.image.clone());
        metal::maas::Door::new(metal, identity, image, self.uploads.clone(), self.public_url.clone())
    }

    pub fn engine(&self) -> Engine {
        Engine::builder(self.db.clone())
            .with(self.compute.life())
            .with(self.compute.watch())
            .with(self.metal.life())
            .with(image::life(self.image.clone()))
            .with(image::checks(self.image.clone()))
            .with(image::imports(self.image.clone()))
            .process(&self.process)
            .build()
    }

    /// Runs what a region does by itself, until dropped.
    pub async fn run(&self) {
        tokio::join!(
            self.engine().run(),
            self.identity.clone().maintain(),
            self.network.keep_homes(compute::silent_after()),
            self.compute.clone().tidy(self.keep_deleted_days),
            store::log::keep_tidy(self.db.clone(), self.keep),
            image::keep_tidy(self.image.clone()),
            self.portal.maintain(),
            compute::MetalKeeper::new(self.db.clone(), self.metal.clone()).run(),
            self.live()
        );
    }

    /// Tells the other processes that this one lives, takes up what dead ones left, and keeps their time.
    async fn live(&self) {
        let mut pulse = Pulse::new(self.db.clone(), &self.process, VERSION);
        // It may have gone back while no process ran.
        let mut mended = false;
        loop {
            if let Err(fault) = self.keep_time(&mut mended).await {
                tracing::warn!(%fault, "the database's clock could not be looked at; it is tried again");
            }
            if !self.db.is_alone()
                && let Err(fault) = self.heartbeat(&mut pulse).await
            {
                tracing::warn!(%fault, "this process could not say that it lives; it tries again");
            }
            tokio::time::sleep(process::BEAT).await;
        }
    }

    async fn keep_time(&self, mended: &mut bool) -> Result<()> {
        *mended &= !clock::follow(&self.db).await?;
        if !*mended {
            clock::mend(&self.db).await?;
            compute::mend_times(&self.db).await?;
            *mended = true;
        }
        Ok(())
    }

    async fn heartbeat(&self, pulse: &mut Pulse) -> Result<()> {
        pulse.beat().await?;
        if pulse.may_judge() {
            let uploads = self.image.bury(self.db.read(process::alive).await?).await?;
            if uploads > 0 {
                tracing::warn!(uploads, "gave up uploads of a region process that is dead");
            }
        }
        Ok(())
    }

    /// Says goodbye to the other processes.
    pub async fn close(&self) {
        if let Err(fault) = Pulse::new(self.db.clone(), &self.process, VERSION).stop().await {
            tracing::debug!(%fault, "the others find out by themselves that this process has ended");
        }
    }
}

/// Where agents' requests for image content lead.
struct ImageBlobs(Arc<Image>);

impl compute::Blobs for ImageBlobs {
    fn open<'a>(
        &'a self,
        sha512: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(u64, tokio::fs::File)>> + Send + 'a>> {
        Box::pin(async move { self.0.open_blob(sha512).await.map(|(file, length)| (length, file)) })
    }
    fn receive(&self, id: base::ImageId, c: compute::Content) -> compute::Receiving<'_> {
        Box::pin(async move { self.0.receive(id, &c.request_id, c.body, c.length, c.gone).await })
    }
}

/// Every route of the region that takes OpenStack's tokens, for tests and the reference.
#[cfg_attr(not(test), expect(dead_code, reason = "the tests walk the routes"))]
pub fn routes() -> Vec<Listed> {
    [
        identity::service().list(),
        identity::own_service().list(),
        image::service().list(),
        image::own_service().list(),
        network::service().list(),
        network::own_service().list(),
        compute::service().list(),
        compute::placement_service().list(),
        compute::agent_service().list(),
        compute::console_service().list(),
        metal::rack_service().list(),
        metal::live_service().list(),
        metal::own_service().list(),
        portal::service().list(),
    ]
    .concat()
}

/// The database that the configuration names.
///
/// # Errors
/// `Conflict` when it was moved to another place: whoever goes on with it would go on with the past.
pub async fn database(config: &Config, file: &std::path::Path) -> Result<Db> {
    let db = match config.database.as_str() {
        "sqlite" => Db::sqlite(file).await?,
        url => Db::postgres(url).await?,
    };
    match db.read(store::transfer::left_for).await? {
        None => Ok(db),
        Some(to) => Err(Fault::conflict(format!(
            "This database was moved to {to}. Put that into `database` in the configuration. (The move back is `hanok \
             admin move-database` too.)"
        ))),
    }
}

/// What the portal says of this process.
fn about(site: &Site) -> Result<portal::About> {
    let config = &site.config;
    Ok(portal::About {
        version: VERSION.into(),
        region: identity::REGION.into(),
        config: serde_json::to_value(config.shown())?,
        database: config.database_shown(),
        data: config.data.clone(),
        images: site.images(),
        certificates: config.tls_cert.iter().cloned().collect(),
    })
}

/// What programs read at `/`; browsers get the portal there.
fn welcome() -> serde_json::Value {
    serde_json::json!({
        "name": "Hanok",
        "version": VERSION,
        "identity": "/identity/v3",
        "documentation": "README.md: point the openstack client at clouds.yaml in the data directory",
    })
}

/// Good when the database answers.
async fn health(db: Db) -> Response {
    match db.read(|tx| tx.one("SELECT COUNT(*) FROM host", &[], |r| r.get::<i64>(0))).await {
        Ok(hosts) => json(200, &serde_json::json!({"status": "ok", "hosts": hosts})),
        Err(fault) => json(503, &serde_json::json!({"status": "down", "reason": fault.message})),
    }
}

fn json(status: u16, value: &serde_json::Value) -> Response {
    api::Reply::json(status, value).into()
}

/// The database of a region that is there, for a command beside it.
///
/// # Errors
/// 400 where there is none, 403 where it is not ours to read.
pub async fn existing(config: &Config) -> Result<store::Db> {
    let file = config.data.join("hanok.db");
    if config.database == "sqlite" {
        match std::fs::File::options().read(true).write(true).open(&file) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Fault::forbidden(format!(
                    "{} is not yours to change. Run the same command with sudo.",
                    file.display()
                )));
            }
            Err(_) => {
                return Err(Fault::bad_request(format!(
                    "There is no region in {}. Run this where the region runs, with its --data.",
                    config.data.display()
                )));
            }
        }
    }
    database(config, &file).await
}

/// `hanok admin password`: works beside a running region, by the database.
///
/// # Errors
/// 404 for a user that there is not, 400 where no region is.
pub async fn password(config: &Config, user: &str) -> Result<()> {
    let db = existing(config).await?;
    let identity = Identity::open(db, &config.data.join("master-key"), config.identity.clone()).await?;
    let new = crate::site::random_text(32);
    identity.reset_password(user, new.clone()).await?;
    crate::say::out(&new);
    let kept = config.data.join(format!("{user}-password"));
    // Where the first start kept them, clouds.yaml is made from them.
    if ["admin", "demo"].contains(&user) && (kept.exists() || config.database == "sqlite") {
        crate::first::write_theirs(&kept, &format!("{new}\n"))?;
        crate::say::progress(&format!(
            "kept in {} too; clouds.yaml has it from the next start of the region on.",
            kept.display()
        ));
    }
    crate::say::progress("Tokens that were given before are refused within a minute.");
    Ok(())
}

/// `hanok admin rotate-keys`: works beside a running region, which takes the new key from the database.
pub async fn rotate_keys(config: &Config) -> Result<()> {
    let db = existing(config).await?;
    let identity = Identity::open(db, &config.data.join("master-key"), config.identity.clone()).await?;
    identity.rotate_keys().await?;
    crate::say::out("New tokens are sealed with a new key from now on.");
    Ok(())
}

/// `hanok admin maas-key`: works beside a running region, by the database.
///
/// # Errors
/// 404 for a user or project that there is not, 400 where no region is.
pub async fn maas_key(config: &Config, user: String, project: Option<String>, name: String) -> Result<()> {
    let db = existing(config).await?;
    let key = db.write(move |tx| metal::maas::keys::make_for(tx, &user, project.as_deref(), &name)).await?;
    crate::say::progress("This is the only time that the key is shown. With python-libmaas:");
    crate::say::progress(&format!("  maas login -p hanok --apikey KEY {}/MAAS/", config.url()));
    crate::say::out(&key.to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two services of one prefix, or one path twice, would end the program at its start.
    #[tokio::test]
    async fn all_services_fit_on_one_router() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data: dir.path().join("data"), ..Config::default() };
        let site = Site::take(config).unwrap();
        let _ = Region::open(&site).await.unwrap().router();
    }
}
