//! `hanok rack`: this computer as a rack controller of a region that runs elsewhere; and the one inside `hanok up`.
//!
//! With `--join` it first asks the region to be taken in; who it is then stays in the data directory, so that
//! later starts need nothing. Which networks it serves the region says.

use crate::config::Config;
use crate::region::Region;
use crate::site::Site;
use crate::{joined, say, up};
use base::{Fault, Result};
use clap::Args;
use rack::join::{Identity, ROLE};
use std::future::Future;
use std::path::PathBuf;
use tls::Invitation;

/// A rack's own settings; the rest is in the configuration file.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Configuration file.
    #[arg(long, env = "HANOK_CONFIG", default_value = "/etc/hanok/hanok.toml")]
    config: PathBuf,
    /// Where everything is kept.
    #[arg(long, env = "HANOK_DATA")]
    data: Option<PathBuf>,
    /// Join a region: what `hanok admin rack-token` prints there. Needed once.
    #[arg(long, value_name = "TOKEN@ADDRESS[:PORT]")]
    join: Option<Invitation>,
    /// What this rack should be called; by default the machine's host name.
    #[arg(long)]
    name: Option<String>,
    /// A network interface that the region may use for machines; may be given several times. By default any.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
}

pub async fn run(options: Options) -> Result<()> {
    let mut config = Config::load(&options.config)?;
    if let Some(data) = &options.data {
        config.data.clone_from(data);
    }
    if let Some(name) = &options.name {
        config.host_name = Some(name.clone());
    }
    if !options.interface.is_empty() {
        config.rack.clone_from(&options.interface);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Fault::forbidden("A rack answers on ports and interfaces that need root: use sudo."));
    }
    let site = Site::take(config)?;
    let stop = up::stop_signal()?;
    tokio::pin!(stop);
    let identity = tokio::select! {
        identity = identity(&site, options.join.as_ref()) => identity?,
        () = &mut stop => return Ok(()),
    };
    say::progress(&format!("rack {} of the region at {}", identity.name, identity.region));
    let (link, renewal) = identity.link(&site.config.data)?;
    let config = config_of(&site, identity.rack, link, renewal);
    say::out("ready");
    rack::run(config, stop).await?;
    say::progress("stopped; machines keep their addresses until their leases run out.");
    site.release();
    Ok(())
}

/// Who this rack is: as it is kept, or by joining.
async fn identity(site: &Site, invitation: Option<&Invitation>) -> Result<Identity> {
    let data = &site.config.data;
    joined::known_or(
        &ROLE,
        data,
        invitation,
        |i: &Identity| &i.region,
        async |invitation| rack::join::join(invitation, &up::host_name(&site.config), data).await,
    )
    .await
}

/// The rack on the region's own machine, which the region knows from now on; `None` where none is asked for.
///
/// # Errors
/// `Conflict` when another rack has this machine's name.
pub async fn own(site: &Site, region: &Region) -> Result<Option<rack::Config>> {
    if site.config.rack.is_empty() {
        return Ok(None);
    }
    // One computer is one host and one rack.
    let id = base::RackId(site.host_id()?.0);
    let (token, _) = site.secret("rack-token")?;
    let (name, proof) = (up::host_name(&site.config), metal::token_hash(&token));
    region.db.write(move |tx| metal::table::rack::admit(tx, id, &name, &proof)).await?;
    let dialer = if site.config.secure() {
        let trusted = tls::client_config(Some(&site.config.data.join("ca.pem")))?;
        tls::Dialer::to(trusted, tls::REGION)?
    } else {
        tls::Dialer::plain()
    };
    let link = rack::link::Link::new(&up::local_url(&site.config), dialer, Some(&token))?;
    Ok(Some(config_of(site, id, link, None)))
}

/// Runs it, or only waits where there is none, until `stop` is ready.
pub async fn run_own(config: Option<rack::Config>, stop: impl Future<Output = ()>) -> Result<()> {
    match config {
        Some(config) => rack::run(config, stop).await,
        None => {
            stop.await;
            Ok(())
        }
    }
}

fn config_of(
    site: &Site,
    id: base::RackId,
    link: rack::link::Link,
    renewal: Option<rack::join::Renewal>,
) -> rack::Config {
    rack::Config {
        rack: id,
        link,
        renewal,
        data: site.file("rack"),
        prefix: site.prefix.clone(),
        interfaces: site.config.rack.clone(),
        image_bytes: site.config.rack_image_bytes,
    }
}
