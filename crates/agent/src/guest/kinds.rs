//! What QEMU here can be: processor models that guests can have under the accelerator in use, and the
//! versioned names of its machines.
//!
//! Asked once per start of the agent, and once more where KVM is found late, in the background, of a QEMU without a
//! machine (a tenth of a second). A
//! guest gets the versioned name of its machine at its first start and keeps it over moves and upgrades of
//! QEMU: what `q35` means changes from release to release, and a running guest's memory fits one meaning.

use super::accel::Probe;
use super::qemu::QEMU;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

const LIMIT: Duration = Duration::from_secs(10);

/// Models worth giving a guest, each with all that those after it have, as far as they are kin: servers'
/// processors by Intel, then by AMD, then what every processor has. Names without a version: what they mean
/// is pinned by the machine.
const MODELS: [&str; 24] = [
    "SapphireRapids",
    "Icelake-Server",
    "Cooperlake",
    "Cascadelake-Server",
    "Skylake-Server",
    "Broadwell",
    "Haswell",
    "IvyBridge",
    "SandyBridge",
    "EPYC-Milan",
    "EPYC-Rome",
    "EPYC",
    "Opteron_G5",
    "Opteron_G4",
    "Opteron_G3",
    "Westmere",
    "Nehalem",
    "Penryn",
    "Conroe",
    "Opteron_G2",
    "Opteron_G1",
    "kvm64",
    "qemu64",
    "qemu32",
];

#[derive(Debug, Default, PartialEq)]
pub struct Known {
    /// Processor models, best first.
    pub models: Vec<String>,
    /// By the plain name, such as `q35`, the versioned one, such as `pc-q35-7.2`.
    pub machines: BTreeMap<String, String>,
}

/// QEMU's answer, when it has come.
#[derive(Debug, Clone)]
pub struct Kinds(watch::Receiver<Option<Arc<Known>>>);

impl Kinds {
    pub fn start(probe: Probe) -> Self {
        let (tell, answer) = watch::channel(None);
        tokio::spawn(async move {
            let mut next = Some(probe.accel().await);
            while let Some(accel) = next {
                let asked = tokio::time::timeout(LIMIT, ask(accel.name())).await;
                if !matches!(asked, Ok(Some(_))) {
                    tracing::warn!("QEMU does not say which processors and machines it has");
                }
                tell.send_replace(Some(Arc::new(asked.ok().flatten().unwrap_or_default())));
                next = probe.other_than(accel).await;
            }
        });
        Kinds(answer)
    }
    /// The answer, empty when there is none within the limit.
    pub async fn known(&self) -> Arc<Known> {
        let mut answer = self.0.clone();
        let known = answer.wait_for(Option::is_some).await;
        known.ok().and_then(|k| k.clone()).unwrap_or_default()
    }
    /// Returns, once, when there is an answer; `heard` is where that is kept. Cancel-safe.
    pub async fn heard(&self, heard: &mut bool) {
        if *heard {
            std::future::pending::<()>().await;
        }
        self.known().await;
        *heard = true;
    }
    /// Processor models as far as they are known.
    pub fn models(&self) -> Vec<String> {
        self.0.borrow().as_ref().map(|k| k.models.clone()).unwrap_or_default()
    }
}

async fn ask(accel: &str) -> Option<Known> {
    let mut child = tokio::process::Command::new(QEMU)
        .args(["-no-user-config", "-nodefaults", "-display", "none", "-machine", "none", "-S"])
        .args(["-accel", accel, "-qmp", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    for command in ["qmp_capabilities", "query-cpu-definitions", "query-machines", "quit"] {
        stdin.write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes()).await.ok()?;
    }
    let output = child.wait_with_output().await.ok()?;
    let said = output.stdout.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice::<Value>(l).ok());
    Some(understand(said.filter_map(|v| v["return"].as_array().cloned())))
}

/// The two lists that were asked for, in whichever order.
fn understand(lists: impl Iterator<Item = Vec<Value>>) -> Known {
    let mut known = Known::default();
    let mut can = Vec::new();
    for entry in lists.flatten() {
        let name = entry["name"].as_str().unwrap_or_default().to_owned();
        if let Some(alias) = entry["alias"].as_str() {
            known.machines.insert(alias.to_owned(), name);
        } else if entry["unavailable-features"].as_array().is_some_and(Vec::is_empty)
            && entry["migration-safe"] == true
        {
            can.push(name);
        }
    }
    let can = |model: &&str| can.iter().any(|c| c == model);
    known.models = MODELS.iter().filter(|m| can(m)).map(|m| (*m).to_owned()).collect();
    known
}

impl Known {
    /// The versioned machine of a guest: the one it has, unless it is of another family.
    pub fn machine(&self, family: &str, has: Option<String>) -> Option<String> {
        let now = self.machines.get(family);
        let kin = |name: &str| name.rsplit_once('-').map(|(kin, _)| kin.to_owned());
        has.filter(|has| now.is_none_or(|now| kin(now) == kin(has))).or_else(|| now.cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn models_are_those_that_lack_nothing_best_first() {
        let cpu = |name: &str, lacks: &[&str], safe: bool| json!({"name": name, "unavailable-features": lacks, "migration-safe": safe});
        let cpus = vec![
            cpu("max", &[], false),
            cpu("qemu64", &[], true),
            cpu("Haswell", &["rtm"], true),
            cpu("Nehalem", &[], true),
        ];
        let machines =
            vec![json!({"name": "pc-q35-7.2", "alias": "q35"}), json!({"name": "pc-q35-7.1", "cpu-max": 9})];
        let known = understand([cpus, machines].into_iter());
        assert_eq!(known.models, ["Nehalem", "qemu64"]);
        assert_eq!(known.machine("q35", None).as_deref(), Some("pc-q35-7.2"));
        assert_eq!(known.machine("q35", Some("pc-q35-6.0".into())).as_deref(), Some("pc-q35-6.0"));
        assert_eq!(known.machine("q35", Some("pc-i440fx-6.0".into())).as_deref(), Some("pc-q35-7.2"));
        assert_eq!(Known::default().machine("q35", Some("pc-q35-6.0".into())).as_deref(), Some("pc-q35-6.0"));
    }
}
