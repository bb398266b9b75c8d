//! A file server as it stands in an office: NFS version 4 over TCP, in a network namespace, by a program that needs
//! nothing of this machine's kernel (NFS-Ganesha).

use crate::wait::until_true;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Long enough for a busy machine, in seconds.
const START: u64 = 60;

pub struct FileServer {
    /// What it serves as `/office`.
    pub files: PathBuf,
    child: Child,
}

impl FileServer {
    /// Starts it in a namespace that has its address already; everything of it is in `dir`, which it makes.
    #[track_caller]
    pub fn start(ns: &str, dir: &Path) -> FileServer {
        let (files, state) = (dir.join("files"), dir.join("state"));
        fs::create_dir_all(&files).unwrap();
        fs::create_dir_all(&state).unwrap();
        let config = dir.join("ganesha.conf");
        // Without the older versions it needs no port mapper; nobody was there before who might reclaim a lock.
        fs::write(
            &config,
            format!(
                "NFS_CORE_PARAM {{ Protocols = 4; Enable_UDP = false; Enable_NLM = false; Enable_RQUOTA = false; }}
                 NFS_KRB5 {{ Active_krb5 = false; }}
                 NFSv4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = \"{}\"; }}
                 EXPORT {{ Export_Id = 1; Path = \"{}\"; Pseudo = \"/office\"; Protocols = 4; Transports = TCP;
                   Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL {{ Name = VFS; }} }}\n",
                state.display(),
                files.display()
            ),
        )
        .unwrap();
        let log = dir.join("log");
        let child = Command::new("nsenter")
            .args([&format!("--net=/run/netns/{ns}"), "ganesha.nfsd", "-F"])
            .arg("-f")
            .arg(config)
            .arg("-L")
            .arg(&log)
            .arg("-p")
            .arg(dir.join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = FileServer { files, child };
        until_true(START, "the file server serves", || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert_eq!(server.child.try_wait().unwrap(), None, "it ended: {said}");
            said.contains("NFS SERVER INITIALIZED")
        });
        server
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
