//! `hanok region`: the control plane alone. Several of them on one PostgreSQL are equal; none leads.

use crate::config::Config;
use crate::region::Region;
use crate::site::Site;
use crate::{accept, check, first, say, up};
use base::{Fault, Result};

pub async fn run(config: Config) -> Result<()> {
    let listener = check::listen(&config).await?;
    let site = Site::take(config)?;
    let stop = up::stop_signal()?;
    say::progress(&format!("starting on the database {}", site.config.database_shown()));
    let region = Region::open(&site).await?;
    let welcome = first::furnish(&site, &region).await?;
    tell(&site.config, &welcome);
    tokio::select! {
        () = accept::serve(listener, region.router(), region.front()) => {}
        () = region.run() => return Err(Fault::internal("the region has ended")),
        () = stop => {}
    }
    region.close().await;
    say::progress("stopped");
    site.release();
    Ok(())
}

fn tell(config: &Config, welcome: &first::Welcome) {
    say::out("");
    say::out(&format!("A region process of Hanok answers at {}", config.url()));
    match &welcome.password {
        Some(p) => {
            let kept = config.data.join("admin-password");
            say::out(&format!(
                "  user admin, password in {}; clouds.yaml: {}",
                kept.display(),
                p.clouds.display()
            ));
        }
        None => say::out(&first::elsewhere(config)),
    }
    say::out("ready");
}
