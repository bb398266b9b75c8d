//! The data directory: who runs on it, its secrets, its instance prefix.

use crate::config::Config;
use base::{Fault, HostId, Kind, Result, names::Prefix};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the process that works on a data directory listens.
const LISTEN: &str = "listen";

/// A data directory that this process alone works on.
pub struct Site {
    pub config: Config,
    pub prefix: Prefix,
    /// Held for as long as the process lives; the kernel lets go of it whatever happens.
    lock: File,
}

impl Site {
    /// Makes the directory if need be and takes it.
    ///
    /// # Errors
    /// `Kind::Conflict` when another Hanok works on it.
    pub fn take(config: Config) -> Result<Site> {
        make_dir(&config.data)?;
        let data = fs::canonicalize(&config.data)?;
        let config = Config { data, ..config };
        let mut lock = open_private(&config.data.join("lock"))?;
        if !base::lock::alone(&lock) {
            return Err(taken(&config.data, pid_in(&mut lock)));
        }
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        fs::write(config.data.join(LISTEN), format!("{}\n", config.listen))?;
        let prefix = prefix(&config.data)?;
        Ok(Site { config, prefix, lock })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.config.data.join(name)
    }

    /// The directory of image contents.
    pub fn images(&self) -> PathBuf {
        self.config.images.clone().unwrap_or_else(|| self.file("images"))
    }

    /// The process that works on a data directory, if one does.
    pub fn holder(data: &Path) -> Option<i32> {
        let mut lock = File::open(data.join("lock")).ok()?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return None;
        }
        pid_in(&mut lock)
    }

    /// Where the process that works on a data directory was told to listen, by its file or on its command line.
    pub fn listening(data: &Path) -> Option<SocketAddr> {
        Self::holder(data)?;
        fs::read_to_string(data.join(LISTEN)).ok()?.trim().parse().ok()
    }

    /// A secret in a file of its own, made on first use: 32 letters and digits, readable by us only.
    /// True when it was made just now.
    pub fn secret(&self, name: &str) -> Result<(String, bool)> {
        let file = self.file(name);
        if let Some(old) = read_trimmed(&file)? {
            return Ok((old, false));
        }
        let new = random_text(32);
        tls::write_private(&file, format!("{new}\n").as_bytes())?;
        Ok((new, true))
    }

    /// Takes back a secret that turned out to be nobody's.
    pub fn forget_secret(&self, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.file(name))?)
    }

    /// This machine's id as a host.
    pub fn host_id(&self) -> Result<HostId> {
        let file = self.file("host-id");
        if let Some(old) = read_trimmed(&file)? {
            return old.parse().map_err(|_| Fault::bad_request(format!("{} holds no uuid.", file.display())));
        }
        let new = HostId::new();
        tls::write_private(&file, format!("{new}\n").as_bytes())?;
        Ok(new)
    }

    /// Lets go of the directory.
    pub fn release(self) {
        drop(self.lock);
    }
}

/// What whoever wants a directory is told that another process works on.
pub fn taken(data: &Path, holder: Option<i32>) -> Fault {
    let (data, holder) = (data.display(), holder.map_or("unknown".into(), |p| p.to_string()));
    Fault::conflict(format!(
        "Another Hanok (process {holder}) already runs on {data}. Stop it with Ctrl-C or `hanok down --data {data}`, or give this one another --data."
    ))
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(dir).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => Fault::forbidden(format!(
            "{} cannot be made: permission denied. Run the same command with sudo, or choose another --data.",
            dir.display()
        )),
        _ => Fault::new(Kind::BadRequest, format!("{} cannot be made: {e}", dir.display())),
    })
}

fn open_private(file: &Path) -> Result<File> {
    Ok(OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(file)?)
}

fn read_trimmed(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(s) if s.trim().is_empty() => Ok(None),
        Ok(s) => Ok(Some(s.trim().to_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn pid_in(lock: &mut File) -> Option<i32> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

pub fn random_text(n: usize) -> String {
    use rand::Rng;
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(n).map(char::from).collect()
}

/// The instance prefix of kernel names: `hk` for the usual directory, else three digits made from the
/// path, so that several Hanoks share one kernel. Kept, so that it survives a moved directory.
fn prefix(data: &Path) -> Result<Prefix> {
    let file = data.join("prefix");
    let text = match read_trimmed(&file)? {
        Some(old) => old,
        None => {
            let new = if data == Path::new("/var/lib/hanok") { "hk".to_owned() } else { path_prefix(data) };
            tls::write_private(&file, format!("{new}\n").as_bytes())?;
            new
        }
    };
    Prefix::try_from(text).map_err(Fault::bad_request)
}

fn path_prefix(data: &Path) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(data.as_os_str().as_encoded_bytes());
    let letters = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let three = hash.iter().take(3).map(|b| char::from(letters[usize::from(*b) % letters.len()]));
    std::iter::once('h').chain(three).collect()
}
