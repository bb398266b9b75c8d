//! Starting, stopping, and starting again.

use crate::world::{World, both, password_login};
use std::os::unix::fs::PermissionsExt;

#[test]
fn first_and_second_start() {
    let mut w = World::dev(3);
    let data = w.data();
    let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    let read = |name: &str| std::fs::read_to_string(data.join(name)).unwrap().trim().to_owned();

    // Secrets are for their owner only, and the first start shows the password and where things are.
    for name in ["admin-password", "demo-password", "clouds.yaml", "master-key", "hanok.db"] {
        assert_eq!(mode(name) & 0o077, 0, "{name} can be read by others");
    }
    assert_eq!(mode("admin-password"), 0o600);
    let password = read("admin-password");
    assert!(password.len() >= 16, "a password of {} letters", password.len());
    assert!(w.said.contains(&password), "the first start shows the password: {}", w.said);
    assert!(w.said.contains(&data.join("clouds.yaml").display().to_string()), "{}", w.said);

    // What a newcomer finds.
    let demo = w.api("demo");
    assert_eq!(demo.get("/health").status, 200);
    for flavor in ["nano", "micro", "small", "medium", "large"] {
        demo.flavor(flavor);
    }
    let private = demo.network("private");
    demo.network("public");
    demo.image("mini");
    let groups = demo.get("/network/v2.0/security-groups").expect(200);
    assert_eq!(groups["security_groups"][0]["name"], "default");
    let id = demo.create_server(&demo.server_body("kept", &[&private]));
    let before = demo.wait_for(&id, "ACTIVE");

    // An administrator has it and the hosts explained by their names, whosever it is.
    let host = w.osc_admin("hypervisor list")[0]["Hypervisor Hostname"].as_str().unwrap().to_owned();
    for (name, found) in
        [("kept", id.as_str()), (&host, "host"), ("nobody", "Nothing is known here of nobody")]
    {
        let why = both(&w.hanok_command().env("OS_CLOUD", "hanok").args(["why", name]).output().unwrap());
        assert!(why.contains(found), "{name}: {why}");
    }

    // A second program on the same data is refused, and says what to do, also where it is the first start typed again.
    let taken = demo.to.to_string();
    for listen in ["127.0.0.1:0", &taken] {
        let second = w.hanok(&["dev", "--listen", listen, "--data", &data.display().to_string()]);
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(!second.status.success());
        assert!(said.contains("already runs") && said.contains("hanok down"), "{listen}: {said}");
    }

    // A taken port is told, too.
    let third = w.hanok(&["dev", "--listen", &taken, "--data", &w.file("third").display().to_string()]);
    assert!(String::from_utf8_lossy(&third.stderr).contains("another program uses this port"), "{third:?}");

    w.interrupt();
    w.start();
    assert_eq!(read("admin-password"), password, "the second start keeps the password");
    assert!(!w.said.contains(&password), "and does not show it again");
    assert!(w.said.contains("admin-password"), "but says where it is: {}", w.said);
    // A token from before still opens, and everything is as it was: nothing was made twice.
    let after = demo.server(&id);
    assert_eq!(after["addresses"], before["addresses"]);
    assert_eq!(demo.network("private"), private);
    for (collection, name) in [("/network/v2.0/networks", "public"), ("/image/v2/images", "mini")] {
        demo.id_of(collection, name);
    }
    w.finish();
}

/// The files are lost, and nobody knows the passwords: whoever holds the machine gets in again.
#[test]
fn a_lost_password() {
    let mut w = World::dev(0);
    let data = w.data();
    let file = |name: &str| data.join(name);
    let old = std::fs::read_to_string(file("admin-password")).unwrap().trim().to_owned();
    w.interrupt();
    std::fs::remove_file(file("admin-password")).unwrap();
    std::fs::remove_file(file("demo-password")).unwrap();
    w.start();
    assert!(w.said.contains("`hanok admin password admin`"), "{}", w.said);
    assert!(!file("admin-password").exists(), "what was made opens nothing");
    let place = data.display().to_string();
    let again = |w: &World, user: &str| w.hanok(&["admin", "password", user, "--data", &place]);
    let made = again(&w, "admin");
    assert!(made.status.success(), "{}", both(&made));
    let new = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    w.anonymous().log_in("admin", &new, "admin");
    w.anonymous().post("/identity/v3/auth/tokens", &password_login("admin", &old, "admin")).expect(401);
    assert!(both(&again(&w, "nobody")).contains("There is no user nobody"));
    assert!(again(&w, "demo").status.success());
    w.interrupt();
    w.start();
    assert!(std::fs::read_to_string(file("clouds.yaml")).unwrap().contains(&new));
    w.osc("token issue");
    w.osc_admin("token issue");
    let nowhere = w.file("nowhere").display().to_string();
    for command in ["password", "rotate-keys", "maas-key"] {
        let refused = w.hanok(&["admin", command, "--data", &nowhere]);
        assert!(both(&refused).contains("There is no region in"), "{command}: {}", both(&refused));
    }
    w.finish();
}

#[test]
fn down_without_anything_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("nothing");
    let down = std::process::Command::new(env!("CARGO_BIN_EXE_hanok"))
        .args(["down", "--wipe", "--config", "/nonexistent", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(down.status.success(), "{down:?}");
    assert!(!data.exists());
}

/// A region whose hosts run elsewhere, or come later.
#[test]
fn a_region_without_hosts_stays() {
    let w = World::dev(0);
    assert_eq!(w.osc_admin("hypervisor list"), serde_json::json!([]));
    w.finish();
}
