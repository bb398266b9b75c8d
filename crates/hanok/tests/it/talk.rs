//! Connections that stay open and carry numbered lines, so that one sees whether a line was lost, came twice or
//! came over another connection.

use crate::guest::Guest;
use crate::wait::{LONG, until, until_true};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How long lines may take on a busy machine, in seconds.
const WAIT: u64 = LONG;
/// Ten lines a second from each side that speaks.
const SPEAK: &str = "(i=0; while i=$((i+1)); do echo $i; usleep 100000; done)";

/// One connection between two guests.
pub struct Talk<'a> {
    /// Who listens, and who called.
    sides: [&'a Guest; 2],
    port: u16,
    both_ways: bool,
}

impl<'a> Talk<'a> {
    /// `caller` connects to `listener` at this address; both speak.
    pub fn begin(caller: &'a Guest, listener: &'a Guest, address: &str, port: u16) -> Talk<'a> {
        Talk::between(caller, listener, address, port, true)
    }

    /// The same where the caller only listens.
    pub fn begin_silent(caller: &'a Guest, listener: &'a Guest, address: &str, port: u16) -> Talk<'a> {
        Talk::between(caller, listener, address, port, false)
    }

    fn between(
        caller: &'a Guest,
        listener: &'a Guest,
        address: &str,
        port: u16,
        both_ways: bool,
    ) -> Talk<'a> {
        let talk = Talk { sides: [listener, caller], port, both_ways };
        start(listener, port, &format!("{SPEAK} | nc -l -p {port}"));
        until_true(WAIT, "somebody listens", || listener.run("netstat -tln").contains(&format!(":{port} ")));
        let call = format!("nc {address} {port}");
        start(
            caller,
            port,
            &if both_ways { format!("{SPEAK} | {call}") } else { format!("tail -f /dev/null | {call}") },
        );
        talk.goes_on();
        talk
    }

    /// The last number that each side has heard.
    fn heard(&self) -> [u64; 2] {
        self.sides.map(|guest| {
            // The caller may be the only one who hears.
            if self.both_ways || std::ptr::eq(guest, self.sides[1]) { heard(guest, self.port) } else { 0 }
        })
    }

    /// Twenty more lines come on each way that is spoken, by the connection of the beginning, and none was lost.
    #[track_caller]
    pub fn goes_on(&self) {
        let before = self.heard();
        until_true(WAIT, &format!("lines come at port {}, after {before:?}", self.port), || {
            let now = self.heard();
            now[1] >= before[1] + 20 && (!self.both_ways || now[0] >= before[0] + 20)
        });
    }
}

/// What a guest hears goes into a file; when the connection ends, that is there too.
fn start(guest: &Guest, port: u16, program: &str) {
    let script = format!("{program} > /tmp/heard-{port}; echo over >> /tmp/heard-{port}");
    guest.run(&format!("setsid sh -c '{script}' > /dev/null 2>&1 &"));
}

/// How far the lines that a guest has heard count from 1 on.
#[track_caller]
fn heard(guest: &Guest, port: u16) -> u64 {
    let text = guest.run(&format!("cat /tmp/heard-{port}; echo ."));
    // The last line may be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().zip(1..).fold(0, |_, (line, n)| {
        assert_eq!(line, n.to_string(), "a line was lost, or the connection ended");
        n
    })
}

/// A connection from outside to a guest; both speak.
pub struct Call {
    stream: TcpStream,
    heard: Arc<AtomicU64>,
    listener: Guest,
    port: u16,
}

impl Call {
    pub fn begin(listener: &Guest, port: u16) -> Call {
        start(listener, port, &format!("{SPEAK} | nc -l -p {port}"));
        let to = format!("{}:{port}", listener.address()).parse().unwrap();
        let stream = until(WAIT, "the guest is called from outside", || {
            TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()
        });
        let (mut out, within) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let heard = Arc::new(AtomicU64::new(0));
        let so_far = heard.clone();
        thread::spawn(move || {
            for (line, n) in BufReader::new(within).lines().map_while(Result::ok).zip(1..) {
                if line != n.to_string() {
                    return;
                }
                so_far.store(n, Ordering::Relaxed);
            }
        });
        thread::spawn(move || {
            let mut lines = 1..;
            while lines.next().is_some_and(|n: u64| writeln!(out, "{n}").is_ok()) {
                thread::sleep(Duration::from_millis(100));
            }
        });
        let call = Call { stream, heard, listener: listener.clone(), port };
        call.goes_on();
        call
    }

    fn heard(&self) -> [u64; 2] {
        [self.heard.load(Ordering::Relaxed), heard(&self.listener, self.port)]
    }

    /// Twenty more lines come each way, by the connection of the beginning, and none was lost.
    #[track_caller]
    pub fn goes_on(&self) {
        let before = self.heard();
        until_true(WAIT, &format!("lines come and go outside, after {before:?}"), || {
            let now = self.heard();
            now[0] >= before[0] + 20 && now[1] >= before[1] + 20
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
