//! The product under load: `hanok dev` in a directory of its own.

use crate::load::{Load, Target};
use base::{Fault, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub struct Product {
    child: Child,
    dir: tempfile::TempDir,
    address: String,
}

impl Product {
    /// Starts it over `hosts` simulated hosts and waits until it is ready.
    pub async fn start(hanok: &str, hosts: usize) -> Result<Product> {
        Self::start_with(hanok, &["dev", "--hosts", &hosts.to_string()]).await
    }

    /// Starts any role that prints `ready`.
    pub async fn start_with(hanok: &str, role: &[&str]) -> Result<Product> {
        let dir = tempfile::tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let child = spawn(hanok, role, &address, dir.path()).await?;
        Ok(Product { child, dir, address })
    }

    /// Ends it and starts another role on the same data and address.
    pub async fn restart(&mut self, hanok: &str, role: &[&str]) -> Result<()> {
        self.end().await;
        self.child = spawn(hanok, role, &self.address, self.dir.path()).await?;
        Ok(())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn data(&self) -> &std::path::Path {
        self.dir.path()
    }

    fn password(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("admin-password")).unwrap_or_default().trim().to_owned()
    }

    pub fn login_body(&self) -> Value {
        json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "admin", "domain": {"id": "default"}, "password": self.password()}}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}})
    }

    pub async fn log_in(&self) -> Result<Target> {
        let target = Target { address: self.address.clone(), token: String::new(), project: String::new() };
        let (token, project) =
            Load::post("/identity/v3/auth/tokens", self.login_body()).token(&target).await?;
        Ok(Target { token, project, ..target })
    }

    /// Memory of the process that is in RAM, in MiB.
    pub fn resident_mib(&self) -> Result<f64> {
        resident_mib(self.id()?)
    }

    pub fn id(&self) -> Result<u32> {
        self.child.id().ok_or_else(|| Fault::internal("hanok has ended"))
    }

    /// Kills it; the data stays until this is dropped.
    pub async fn end(&mut self) {
        // It is a benchmark's throw-away directory: nothing is worth a goodbye.
        let _ = self.child.kill().await;
    }

    pub async fn stop(mut self) {
        self.end().await;
    }
}

/// Processor time that a process has used, in seconds.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    /// Ticks in a second, as the kernel shows them to everybody.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name, which may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Ok(fields.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / TICKS)
}

/// Memory of a process that is in RAM, in MiB.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(f64::NAN);
    Ok(kib / 1024.0)
}

/// Starts a role and waits until it is ready.
async fn spawn(hanok: &str, role: &[&str], address: &str, data: &Path) -> Result<Child> {
    let mut child = Command::new(hanok)
        .args(role)
        .args(["--listen", address, "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = child.stdout.take().ok_or_else(|| Fault::internal("no standard output"))?;
    let mut lines = BufReader::new(out).lines();
    while let Some(line) = lines.next_line().await? {
        if line == "ready" {
            return Ok(child);
        }
    }
    Err(Fault::internal("hanok ended before it was ready"))
}
