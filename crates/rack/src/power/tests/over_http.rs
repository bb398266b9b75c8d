//! Redfish against sushy-tools' emulator and against a service with all that it lacks; webhooks.

use super::service::{self, Service};
use super::{Rack, Times, machine, quick, words};
use base::doc::rack::{Bmc, BootFrom};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

fn redfish(url: &str, password: &str, system: &str, fingerprint: &str) -> Bmc {
    Bmc::Redfish {
        url: url.to_owned(),
        user: "admin".to_owned(),
        password: password.to_owned(),
        system: system.to_owned(),
        fingerprint: fingerprint.to_owned(),
    }
}

/// sushy-tools' emulator with its fake driver: power changes seconds after it was told.
struct Sushy {
    url: String,
    child: Child,
    _dir: tempfile::TempDir,
}

const SYSTEMS: [&str; 2] = ["27946b59-9e44-4fa7-8e91-f3527a1ef094", "27946b59-9e44-4fa7-8e91-f3527a1ef095"];

impl Sushy {
    async fn start() -> Sushy {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let venv = std::env::var("HANOK_VENV").unwrap_or_else(|_| format!("{}/.venv", root.display()));
        let made = Command::new(root.join("scripts/python-venv.sh"))
            .arg(root.join("scripts/requirements-redfish.txt"))
            .arg(format!("{venv}-redfish"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let venv = String::from_utf8(made.stdout).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let hashed = Command::new(format!("{}/bin/python", venv.trim()))
            .args([
                "-c",
                "import bcrypt; print('admin:' + bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode())",
            ])
            .output()
            .unwrap();
        std::fs::write(path.join("users"), hashed.stdout).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let system = |uuid: &str| format!("{{'uuid': '{uuid}', 'name': 'pc', 'power_state': 'Off'}}");
        let config = format!(
            "SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\n\
             SUSHY_EMULATOR_FAKE_DRIVER = True\nSUSHY_EMULATOR_STATE_DIR = '{dir}'\n\
             SUSHY_EMULATOR_AUTH_FILE = '{dir}/users'\n\
             SUSHY_EMULATOR_FAKE_SYSTEMS = [{}, {}]\n",
            system(SYSTEMS[0]),
            system(SYSTEMS[1]),
            dir = path.display(),
        );
        std::fs::write(path.join("config"), config).unwrap();
        let log = std::fs::File::create(path.join("log")).unwrap();
        let child = Command::new(format!("{}/bin/sushy-emulator", venv.trim()))
            .arg("--config")
            .arg(path.join("config"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let sushy = Sushy { url: format!("http://127.0.0.1:{port}"), child, _dir: dir };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let up = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), up).await.expect("the emulator starts");
        sushy
    }
}

impl Drop for Sushy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_emulator_of_sushy_tools_is_driven() {
    let sushy = Sushy::start().await;
    let bmc = |password, system| redfish(&sushy.url, password, system, "");
    // Told again, it would begin its wait anew.
    let times = Times { effect: Duration::from_secs(60), ..quick() };
    let machines = vec![
        machine("pc", bmc("secret", SYSTEMS[0])),
        machine("other", bmc("secret", "")),
        machine("wrong", bmc("guess", SYSTEMS[1])),
        machine("lost", bmc("secret", "none")),
    ];
    let mut rack = Rack::with(times, machines);
    rack.until_on(0, false).await;
    rack.until(1, "advice", words("has 2 systems")).await;
    rack.until(2, "advice", words("refuses the password of user admin")).await;
    rack.until(3, "advice", words("has no system \"none\", but 27946b59")).await;

    rack.order(0, |o| (o.want, o.boot_from) = (Some(true), BootFrom::Network));
    rack.until_on(0, true).await;
    rack.order(0, |o| (o.cycles, o.hard) = (1, true));
    rack.until(0, "the restart", |s| s.cycles == 1 && s.power == Some(true) && s.reason.is_empty()).await;
    rack.order(0, |o| o.want = Some(false));
    rack.until_on(0, false).await;
}

/// A certificate that nobody signed, and its SHA-256.
fn certificate() -> (Arc<tls::ServerConfig>, String) {
    use sha2::{Digest, Sha256};
    let made = rcgen::generate_simple_self_signed(vec!["bmc".to_owned()]).unwrap();
    let der = made.cert.der().clone();
    let print = hex::encode(Sha256::digest(&der));
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = tls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![der], key).unwrap();
    (Arc::new(config), print)
}

#[tokio::test]
async fn a_bmc_with_sessions_tags_and_a_certificate() {
    let (tls, print) = certificate();
    let bmc = Service::start(service::redfish, Some(tls)).await;
    let url = format!("https://{}/redfish/v1/", bmc.authority);
    let mut rack = Rack::new(vec![machine("pc", redfish(&url, "secret", "437XR1138R2", &print))]);
    rack.order(0, |o| (o.want, o.boot_from, o.efi) = (Some(true), BootFrom::Network, Some(true)));
    rack.until_on(0, true).await;
    // It allows HTTP boot only, and switches on by force only.
    assert_eq!(bmc.log()[..3], ["log in", "boot", "ForceOn"]);
    assert_eq!(
        bmc.held.lock().unwrap().boot,
        json!({"BootSourceOverrideTarget": "UefiHttp", "BootSourceOverrideEnabled": "Once",
            "BootSourceOverrideMode": "UEFI"})
    );
    // It knows no graceful shutdown: off is off. A session that it has forgotten is made anew.
    bmc.held.lock().unwrap().sessions.clear();
    rack.order(0, |o| o.want = Some(false));
    rack.until_on(0, false).await;
    let done: Vec<String> = bmc.log().into_iter().skip(3).filter(|l| !l.starts_with("log ")).collect();
    assert_eq!(done, ["ForceOff"]);
    // When all is quiet the session is given back.
    rack.order(0, |o| o.want = None);
    let quiet = async {
        while !bmc.held.lock().unwrap().sessions.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), quiet).await.expect("the session ends");

    // What it says when it will not is passed on.
    let error = json!({"error": {"message": "General.", "@Message.ExtendedInfo":
        [{"Message": "The lid is open."}]}});
    bmc.held.lock().unwrap().next = Some((503, error));
    rack.order(0, |o| o.want = Some(true));
    rack.until(0, "its words", words("The lid is open.")).await;
    rack.until_on(0, true).await;
}

#[tokio::test]
async fn a_bmc_that_does_not_switch_off_what_is_off_still_switches_on() {
    let (tls, print) = certificate();
    let bmc = Service::start(service::redfish, Some(tls)).await;
    bmc.held.lock().unwrap().dead = true;
    let url = format!("https://{}", bmc.authority);
    let mut rack = Rack::new(vec![machine("pc", redfish(&url, "secret", "", &print))]);
    let has = async |kind: &str| {
        let given = async {
            while bmc.log().last().is_none_or(|last| last != kind) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), given).await.unwrap_or_else(|_| panic!("no {kind}"));
    };
    rack.order(0, |o| o.want = Some(true));
    has("ForceOn").await;
    // It may still come up for that: so it is off first for the restart that is asked for now.
    rack.order(0, |o| (o.cycles, o.hard) = (1, true));
    has("ForceOff").await;
    bmc.held.lock().unwrap().dead = false;
    rack.until_on(0, true).await;
}

#[tokio::test]
async fn a_bmc_that_is_not_ready_yet_is_found_later() {
    let (tls, print) = certificate();
    let bmc = Service::start(service::redfish, Some(tls)).await;
    // The first question after the log-in is where its system is.
    bmc.held.lock().unwrap().next = Some((503, json!({"error": {"message": "Starting."}})));
    let url = format!("https://{}", bmc.authority);
    let mut rack = Rack::new(vec![machine("pc", redfish(&url, "secret", "", &print))]);
    rack.until(0, "its words", words("Starting.")).await;
    rack.order(0, |o| o.want = Some(true));
    rack.until_on(0, true).await;
}

#[tokio::test]
async fn a_bmc_with_another_certificate_gets_no_password() {
    let (tls, print) = certificate();
    let (_, other) = certificate();
    let bmc = Service::start(service::redfish, Some(tls)).await;
    let url = format!("https://{}", bmc.authority);
    let mut rack = Rack::new(vec![machine("pc", redfish(&url, "secret", "", &other))]);
    rack.order(0, |o| o.want = Some(true));
    let said = rack.until(0, "distrust", words("another certificate")).await;
    assert!(said.reason.contains(&print), "{}", said.reason);
    assert_eq!(bmc.log(), Vec::<String>::new());
    let plain = Rack::new(vec![machine("pc", redfish("http://127.0.0.1:1", "secret", "", ""))]);
    plain.until(0, "silence", words("does not answer (Connection refused")).await;
}

#[tokio::test]
async fn a_webhook_switches() {
    let hook = Service::start(service::webhook, None).await;
    let url = |path: &str| format!("http://{}{path}?token=S3CRET", hook.authority);
    let bmc = |key: &str, on: &str| Bmc::Webhook {
        on_url: url("/on"),
        off_url: url("/off"),
        query_url: url("/power"),
        headers: BTreeMap::from([("x-key".to_owned(), key.to_owned())]),
        on_pattern: on.to_owned(),
        off_pattern: String::new(),
    };
    let mut rack = Rack::new(vec![
        machine("pc", bmc("sesame", "")),
        machine("refused", bmc("x", "")),
        machine("puzzled", bmc("sesame", "nothing|")),
        machine("wrong", bmc("sesame", "(")),
    ]);
    // Whoever has the machine reads the reason: what is behind the host's name may be a key, and an answer anything.
    let place = format!("The webhook at http://{}", hook.authority);
    for (n, part) in
        [(1, "refuses us (403 Forbidden)"), (2, "both patterns fit"), (3, "is no regular expression")]
    {
        let reason = rack.until(n, "a word", words(part)).await.reason;
        assert!(!reason.contains("S3CRET") && !reason.contains("stopped"), "{reason}");
        assert!(n == 3 || reason.starts_with(&place), "{reason}");
    }
    rack.order(0, |o| o.want = Some(true));
    rack.until_on(0, true).await;
    rack.order(0, |o| o.cycles = 1);
    rack.until(0, "the restart", |s| s.cycles == 1 && s.power == Some(true) && s.reason.is_empty()).await;
    rack.order(0, |o| o.want = Some(false));
    rack.until_on(0, false).await;
    assert_eq!(hook.log(), ["/on", "/off", "/on", "/off"]);
}
