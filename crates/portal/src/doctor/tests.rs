use super::*;
use serde_json::json;

fn host(name: &str) -> HostHealth {
    HostHealth {
        id: base::HostId::new(),
        name: name.into(),
        zone: "nova".into(),
        class: String::new(),
        enabled: true,
        draining: false,
        up: true,
        seen_at: None,
        silent_s: 0,
        version: "1.0".into(),
        qemu: String::new(),
        accel: "kvm".into(),
        disk_bytes: 100 * GIB,
        disk_free_bytes: 50 * GIB,
        wanted: 1,
        applied: 1,
        servers: 0,
    }
}

fn job(reason: &str) -> Explanation {
    Explanation {
        id: "some-id".into(),
        kind: "server".into(),
        state: json!("Building"),
        since: Micros::now(),
        budget: None,
        overrun: true,
        reason: reason.into(),
        attempt: 9,
        last_error: String::new(),
        wake_at: None,
    }
}

fn well() -> Findings {
    Findings {
        version: "1.0".into(),
        hosts: vec![host("one"), host("two")],
        disks: vec![("data", 100 * GIB, 50 * GIB)],
        processes: vec!["1.0".into()],
        database: "sqlite".into(),
        ..Findings::default()
    }
}

fn of(f: &Findings, id: &str) -> Check {
    checks(f, Micros::now()).into_iter().find(|c| c.id == id).unwrap()
}

#[test]
fn all_is_well() {
    for c in checks(&well(), Micros::now()) {
        assert_eq!((c.state, c.advice.as_str()), (State::Ok, ""), "{c:?}");
    }
}

#[test]
fn each_fault_is_told_with_what_to_do() {
    let now = Micros::now();
    let mut cases: Vec<(&str, State, &str, Findings)> = Vec::new();
    let mut with = |id, state, word, change: &dyn Fn(&mut Findings)| {
        let mut f = well();
        change(&mut f);
        cases.push((id, state, word, f));
    };
    with("hosts.silent", State::Error, "one", &|f| f.hosts[0].up = false);
    with("hosts.silent", State::Error, "No host", &|f| f.hosts.clear());
    with("hosts.version", State::Warn, "two", &|f| f.hosts[1].version = "0.9".into());
    with("hosts.disk", State::Warn, "two", &|f| f.hosts[1].disk_free_bytes = GIB);
    with("disk.data", State::Warn, "4.0 GiB of 20.0", &|f| f.disks = vec![("data", 20 * GIB, 4 * GIB)]);
    with("disk.images", State::Error, "0.5 GiB", &|f| f.disks = vec![("images", 20 * GIB, GIB / 2)]);
    with("work.overdue", State::Warn, "the host is slow", &|f| f.overdue = vec![job("the host is slow")]);
    with("work.failing", State::Warn, "some-id", &|f| f.failing = vec![job("x")]);
    with("regions.version", State::Warn, "0.9", &|f| f.processes.push("0.9".into()));
    with("events", State::Warn, "3 errors", &|f| f.errors = 3);
    let ends = |at: Option<Micros>| vec![("cert.pem".to_owned(), at)];
    with("certificates", State::Error, "has expired", &|f| f.certificates = ends(Some(now)));
    with("certificates", State::Warn, "expires", &|f| f.certificates = ends(Some(now.plus(DAY))));
    with("certificates", State::Warn, "cannot be read", &|f| f.certificates = ends(None));
    with("certificates", State::Ok, "None ends", &|f| f.certificates = ends(Some(now.plus(SOON * 2))));
    for (id, state, word, f) in cases {
        let c = of(&f, id);
        assert_eq!(c.state, state, "{c:?}");
        assert!(c.message.contains(word), "{c:?}");
        assert_eq!(c.advice.is_empty(), state == State::Ok, "{c:?}");
        if state != State::Ok {
            assert_eq!(checks(&f, now)[0].id, id, "the worst first");
        }
    }
}

#[test]
fn a_machine_that_is_a_server_may_fill_its_disk() {
    let mut f = well();
    f.hosts.push(HostHealth { class: "metal.8c-32g-500g".into(), disk_free_bytes: 0, ..host("pc") });
    assert_eq!(of(&f, "hosts.disk").state, State::Ok);
}

#[test]
fn of_many_some_are_named() {
    let f = Findings {
        hosts: (0..9).map(|i| HostHealth { up: false, ..host(&format!("h{i}")) }).collect(),
        ..well()
    };
    let message = of(&f, "hosts.silent").message;
    assert!(message.contains("h4 and 4 more") && !message.contains("h5"), "{message}");
}

#[test]
fn the_end_of_a_certificate_is_read() {
    for (year, month) in [(2031, 5), (2061, 12)] {
        let mut params = rcgen::CertificateParams::new(vec!["here".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, month, 6);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let end = expiry(pem.as_bytes()).unwrap();
        assert_eq!(end.seconds_z(), format!("{year}-{month:02}-06T00:00:00Z"));
        for cut in [0, 30, 100, 300] {
            assert_eq!(expiry(&pem.as_bytes()[..cut]), None);
        }
    }
    for bad in [
        "",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----",
    ] {
        assert_eq!(expiry(bad.as_bytes()), None);
    }
}
