//! What the first start makes for a newcomer, and the files that every start writes. All of it looks
//! before it makes, so a start that was cut short goes on where it stopped.

use crate::build;
use crate::config::Config;
use crate::region::Region;
use crate::site::Site;
use base::doc::rack::LiveSystem;
use base::{HostId, ImageId, Result};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the person at the terminal is told.
pub struct Welcome {
    /// `None` where another process made the cloud, and keeps it, or where its file was lost.
    pub password: Option<Password>,
}

pub struct Password {
    pub text: String,
    /// Whether this start made it.
    pub new: bool,
    pub clouds: PathBuf,
}

/// Users, projects, flavors, networks.
pub async fn furnish(site: &Site, region: &Region) -> Result<Welcome> {
    let (password, new) = site.secret("admin-password")?;
    let (demo_password, new_demo) = site.secret("demo-password")?;
    let seed = region.identity.bootstrap(&password, &demo_password).await?;
    let public = site.config.public;
    region
        .db
        .write(move |tx| {
            compute::flavors_first_start(tx)?;
            network::first_start(tx, &seed.admin, &seed.demo, public.into())
        })
        .await?;
    if (new || new_demo) && !seed.first {
        // Another process was first, or a file was lost: what was made here opens nothing.
        for (made, name) in [(new, "admin-password"), (new_demo, "demo-password")] {
            if made {
                site.forget_secret(name)?;
            }
        }
        return Ok(Welcome { password: None });
    }
    let clouds = write_clouds(site, &password, &demo_password)?;
    Ok(Welcome { password: Some(Password { text: password, new, clouds }) })
}

/// Makes this machine a host. `proof` is the hash of what it proves itself with.
pub async fn join(region: &Region, id: HostId, name: String, proof: String) -> Result<()> {
    region
        .db
        .write(move |tx| {
            compute::admit_host(tx, id, &name, &proof, "nova")?;
            network::for_hosts::settle_homes(tx)
        })
        .await
}

/// The image `mini`, built once a machine and kept in the cache.
pub async fn mini(config: &Config, region: &Region) -> Result<ImageId> {
    let file = build::cached(build::Name::Mini, &config.cache).await?;
    let properties = BTreeMap::from([
        ("os_distro".to_owned(), "mini".to_owned()),
        ("os_admin_user".to_owned(), "mini".to_owned()),
    ]);
    region.image.ensure_public("mini", &file, "qcow2", &properties).await
}

/// What machines boot, as the racks shall serve it: built once a machine, and again for another program.
pub async fn live(config: &Config, region: &Region) -> Result<()> {
    let dir = tempfile::tempdir()?;
    build::live(&config.cache, dir.path()).await?;
    let keep =
        async |part: &str| region.image.keep_own(&format!("hanok-live-{part}"), &dir.path().join(part)).await;
    let live = LiveSystem {
        kernel: keep("kernel").await?,
        initrd: keep("initrd").await?,
        efi: keep("efi").await?,
        cmdline: std::fs::read_to_string(dir.path().join("cmdline"))?.trim().to_owned(),
    };
    let set = move |tx: &store::Tx<'_>| {
        if metal::live(tx)?.as_ref() == Some(&live) { Ok(()) } else { metal::set_live(tx, &live) }
    };
    region.db.write(set).await
}

/// `clouds.yaml` with the clouds `hanok` (admin) and `demo`.
fn write_clouds(site: &Site, admin: &str, demo: &str) -> Result<PathBuf> {
    let url = site.config.url();
    let own = site.config.secure() && site.config.tls_cert.is_none();
    let trust = if own { format!("    cacert: {}\n", site.file("ca.pem").display()) } else { String::new() };
    let cloud = |name: &str, user: &str, project: &str, password: &str| {
        format!(
            "  {name}:\n    auth:\n      auth_url: {url}/identity/v3\n      username: {user}\n      password: {password}\n      \
             project_name: {project}\n      user_domain_name: Default\n      project_domain_name: Default\n    \
             region_name: RegionOne\n    interface: public\n    identity_api_version: 3\n{trust}"
        )
    };
    let text = format!(
        "clouds:\n{}{}",
        cloud("hanok", "admin", "admin", admin),
        cloud("demo", "demo", "demo", demo)
    );
    let file = site.file("clouds.yaml");
    write_theirs(&file, &text)?;
    hand_over(&site.file("admin-password"), None)?;
    hand_over(&site.file("demo-password"), None)?;
    Ok(file)
}

/// Writes a file that people read, and leaves it to whose it was.
pub fn write_theirs(file: &Path, text: &str) -> Result<()> {
    let before = std::fs::metadata(file).ok().map(|m| (m.uid(), m.gid()));
    tls::write_private(file, text.as_bytes())?;
    hand_over(file, before)
}

/// Who started us by sudo wants to read these as themselves; so does whose file it was `before`, when a service starts
/// us. Nobody else may.
fn hand_over(file: &Path, before: Option<(u32, u32)>) -> Result<()> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if let Some((user, group)) = number("SUDO_UID").zip(number("SUDO_GID")).or(before) {
        std::os::unix::fs::chown(file, Some(user), Some(group))?;
    }
    Ok(())
}

/// How to call this program: by its name where the shell would find it, else by its path.
fn program() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let me = std::env::current_exe().unwrap_or_else(|_| "hanok".into());
    let found = std::env::split_paths(&path).map(|dir| dir.join("hanok")).find(|p| p.is_file());
    match found.and_then(|p| p.canonicalize().ok()) {
        Some(found) if found == me => "hanok".to_owned(),
        _ => me.display().to_string(),
    }
}

/// What is said where the passwords are not.
pub fn elsewhere(config: &Config) -> String {
    if config.database == "sqlite" {
        return format!(
            "  the passwords of this cloud are not in {}: `hanok admin password admin` and `hanok admin password demo` make \
             others, and the next start writes clouds.yaml",
            config.data.display()
        );
    }
    "  the passwords and clouds.yaml are where the first region process started".to_owned()
}

/// From where floating IPs come, which is what the first start was told unless somebody has changed it since.
pub async fn floating(site: &Site, region: &Region) -> Result<Vec<IpNet>> {
    let ranges = region.db.read(network::floating_ranges).await?;
    let wanted = site.config.public;
    if wanted != Config::default().public && !ranges.contains(&IpNet::V4(wanted.trunc())) {
        crate::say::progress(&format!(
            "`public` ({wanted}) is of the first start only, and this cloud has no such network; to add it, make a \
             subnet with the gateway {} on an external network",
            wanted.addr()
        ));
    }
    Ok(ranges)
}

/// The last lines of a start: where it is, how to get in, what to try. `floating` is where the floating IPs of real guests
/// come from; simulated ones have none that answer.
pub fn tell(config: &Config, welcome: &Welcome, floating: Option<&[IpNet]>) {
    let say = crate::say::out;
    say("");
    say(&format!("Hanok answers at {}   (in a browser: the portal)", config.url()));
    let Some(password) = &welcome.password else {
        say(&elsewhere(config));
        say("ready");
        return;
    };
    if config.listen.ip().is_unspecified() {
        say(
            "  listening on every address: no host can join before it is one of this machine's, --listen ADDRESS:PORT",
        );
    }
    let clouds = password.clouds.display();
    let kept = config.data.join("admin-password");
    if password.new {
        say(&format!("  user admin, password {}   (kept in {})", password.text, kept.display()));
    } else {
        say(&format!("  user admin, password in {}", kept.display()));
    }
    say(&format!("  user demo, password in {}", config.data.join("demo-password").display()));
    say(&format!("  clouds.yaml: {clouds}   (clouds `hanok` for the admin, `demo` for a user)"));
    crate::channel::tell(config);
    for range in floating.unwrap_or_default() {
        say(&format!("  floating IPs from {range}, reachable from this machine"));
    }
    say("Three things to try in another terminal (README.md says where `openstack` comes from):");
    say(&format!("  export OS_CLIENT_CONFIG_FILE={clouds} OS_CLOUD=demo"));
    say("  openstack server create --image mini --flavor nano --network private --wait first");
    say(&format!("  {} {} first", program(), if floating.is_some() { "console" } else { "why" }));
    say("ready");
}
