//! Guests outlive us: Hanok ends, is killed, starts again, and they never notice.

use crate::leaks;
use crate::up_life::reachable;
use crate::wait::{LONG, until, until_true};
use crate::world::World;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// An open ssh session that echoes what it is told.
struct Session {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Session {
    fn open(guest: &crate::guest::Guest) -> Session {
        let mut child = guest.ssh().arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Session { child, to, from }
    }

    #[track_caller]
    fn echoes(&mut self, word: &str) {
        writeln!(self.to, "{word}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word, "the session did not survive");
    }

    fn close(mut self) {
        drop(self.to);
        self.child.wait().unwrap();
    }
}

#[test]
fn guests_outlive_us() {
    let mut w = World::up();
    let demo = w.api("demo");
    let (first, guest) = reachable(&w, "first");
    let (second, other) = reachable(&w, "second");
    let processes = leaks::qemus(&w.data());
    assert_eq!(processes.len(), 2);
    let mut session = Session::open(&guest);
    session.echoes("before");
    let (a, b) = (demo.address_of(&first), demo.address_of(&second));

    for how in ["Ctrl-C", "kill -9"] {
        match how {
            "Ctrl-C" => w.interrupt(),
            _ => w.kill(),
        }
        assert_eq!(leaks::qemus(&w.data()), processes, "{how}: every guest runs on");
        session.echoes("without a control plane");
        until_true(LONG, "networks stand without us", || guest.pings(&b) && other.pings(&a));
        assert_eq!(guest.run("hostname"), "first", "{how}: and let people in");
        w.start();
        for id in [&first, &second] {
            assert_eq!(demo.wait_for(id, "ACTIVE")["status"], "ACTIVE");
        }
        assert_eq!(leaks::qemus(&w.data()), processes, "{how}: found again, not started again");
        session.echoes("with one again");
        until_true(LONG, "and with us", || guest.pings(&b));
    }
    session.close();

    // Killed while it works: a server is being built, another being stopped, one being deleted.
    let third = demo.create_server(&demo.server_body("third", &[&demo.network("private")]));
    demo.action(&second, &json!({"os-stop": null})).expect(202);
    w.kill();
    w.start();
    demo.wait_for(&third, "ACTIVE");
    demo.wait_for(&second, "SHUTOFF");
    demo.delete(&format!("/compute/v2.1/servers/{third}")).expect(204);
    w.kill();
    w.start();
    demo.wait_until_gone(&third);
    until_true(LONG, "only the first runs", || leaks::qemus(&w.data()).len() == 1);
    assert_eq!(
        leaks::qemus(&w.data())[0],
        *processes.iter().find(|(_, line)| line.contains(&first)).unwrap()
    );
    assert_eq!(guest.run("hostname"), "first");
    // Metadata and DHCP answer again, too.
    let told = guest.run("wget -q -O - http://169.254.169.254/latest/meta-data/instance-id");
    assert!(!told.is_empty());
    demo.action(&second, &json!({"os-start": null})).expect(202);
    demo.wait_for(&second, "ACTIVE");
    other.wait(crate::up_cloud::BOOT);

    // `down` without `--wipe` stops the guests and keeps what they are; the next start brings them back.
    let down = w.hanok(&["down", "--data", &w.data().display().to_string()]);
    assert!(down.status.success(), "{down:?}");
    until_true(LONG, "the program ends", || !w.runs());
    w.ended();
    assert_eq!(w.traces(), Vec::<String>::new(), "down leaves nothing running");
    w.start();
    until(LONG, "guests run again", || (leaks::qemus(&w.data()).len() == 2).then_some(()));
    guest.wait(crate::up_cloud::BOOT);
    for id in [&first, &second] {
        demo.delete_server(id);
    }
    w.finish();
}
