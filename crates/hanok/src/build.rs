//! `hanok image build`: guest images, and what bare machines boot, made from Debian packages by the scripts in
//! `images/`, which travel inside this program. The live system's own program is this one again.

use crate::say;
use base::{Fault, Kind, Result};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// A small test guest (busybox, dropbear): up in seconds.
    Mini,
    /// Debian 12 for guests, with systemd, cloud-init, sshd and the guest agent.
    #[value(name = "debian-12")]
    Debian12,
    /// The same for computers, be they servers or hosts: drivers of real hardware, and what a host needs.
    #[value(name = "debian-12-host")]
    Debian12Host,
    /// What a bare machine boots to be measured, erased and written: a directory with kernel, initrd, efi, cmdline.
    Live,
}

type Files = &'static [(&'static str, &'static [u8])];

macro_rules! files {
    ($dir:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../images/", $dir, "/", $name)) as &[u8])),*]
    };
}

const MINI: Files =
    files!("mini": "build.sh", "init", "json.awk", "meta", "rc", "shrink-kernel.py", "udhcpc.sh");
const DEBIAN_12: Files = files!("debian-12": "build.sh");
const LIVE: Files = files!(
    "live": "assemble.sh", "build.sh", "coldplug", "hotplug", "inittab", "modules", "rc", "udhcpc.sh"
);

impl Name {
    fn files(self) -> Files {
        match self {
            Name::Mini => MINI,
            Name::Debian12 | Name::Debian12Host => DEBIAN_12,
            Name::Live => LIVE,
        }
    }
    pub fn text(self) -> &'static str {
        match self {
            Name::Mini => "mini",
            Name::Debian12 => "debian-12",
            Name::Debian12Host => "debian-12-host",
            Name::Live => "live",
        }
    }
    /// Name of what is built, without `--out`.
    fn out(self) -> String {
        if self == Name::Live { "live".into() } else { format!("{}.qcow2", self.text()) }
    }
    /// Name of a built image in the cache: another recipe is another file.
    fn cached(self) -> String {
        let mut hash = Sha256::new();
        for (name, bytes) in self.files() {
            hash.update(name);
            hash.update(bytes);
        }
        let end = if self == Name::Live { "" } else { ".qcow2" };
        format!("{}-{}{end}", self.text(), &hex::encode(hash.finalize())[..12])
    }
}

pub async fn run(name: Name, out: Option<PathBuf>, cache: Option<PathBuf>) -> Result<()> {
    let out = out.unwrap_or_else(|| name.out().into());
    match (name, cache) {
        (Name::Live, Some(cache)) => live(&cache, &out).await?,
        (Name::Live, None) => live(tempfile::tempdir()?.path(), &out).await?,
        (name, Some(cache)) => drop(tokio::fs::copy(cached(name, &cache).await?, &out).await?),
        (name, None) => build(name, &out).await?,
    }
    say::out(&format!("{}", out.display()));
    Ok(())
}

/// The image from the cache, built first if it is not there.
pub async fn cached(name: Name, cache: &Path) -> Result<PathBuf> {
    let file = cache.join(name.cached());
    if file.exists() {
        return Ok(file);
    }
    std::fs::create_dir_all(cache)?;
    let _alone = alone(name, cache).await?;
    if !file.exists() {
        say::progress(&format!("building the image {} (once; a minute or so)", name.text()));
        build(name, &file).await?;
    }
    Ok(file)
}

/// Whoever has this is the only one on this machine that builds the image; it ends with its process.
async fn alone(name: Name, cache: &Path) -> Result<File> {
    let lock = File::create(cache.join(format!("{}.lock", name.cached())))?;
    let mut told = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(e)) => return Err(e.into()),
            Err(TryLockError::WouldBlock) if !told => {
                say::progress(&format!("another hanok builds the image {}; waiting for it", name.text()));
                told = true;
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// The live system as the directory `out`. All but our own program comes from the cache.
pub async fn live(cache: &Path, out: &Path) -> Result<()> {
    let base = cached(Name::Live, cache).await?;
    let program = std::env::current_exe()?;
    let words = [base.as_path(), &program, &std::path::absolute(out)?];
    script(Name::Live, "assemble.sh", &words).await
}

async fn build(name: Name, out: &Path) -> Result<()> {
    script(name, "build.sh", &[&std::path::absolute(out)?]).await
}

async fn script(name: Name, script: &str, words: &[&Path]) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("hanok-image-").tempdir()?;
    for (file, bytes) in name.files() {
        let path = dir.path().join(file);
        std::fs::write(&path, bytes)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    let status = tokio::process::Command::new("bash")
        .arg(dir.path().join(script))
        .args(words)
        .env("ROLE", if name == Name::Debian12Host { "host" } else { "" })
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .status()
        .await?;
    if status.success() {
        return Ok(());
    }
    Err(Fault::new(
        Kind::Unavailable,
        format!(
            "The image {} could not be built; the lines above say why. It needs Debian's packages: check apt's sources.",
            name.text()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_another_builds_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().to_owned();
        let other = alone(Name::Mini, &cache).await.unwrap();
        let waiting = tokio::spawn(async move { cached(Name::Mini, &cache).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        std::fs::write(dir.path().join(Name::Mini.cached()), "built by another").unwrap();
        drop(other);
        let file = waiting.await.unwrap().unwrap();
        assert_eq!(std::fs::read(file).unwrap(), b"built by another");
    }
}
