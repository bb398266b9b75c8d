//! The `openstack` client, started once for all of its commands: see `client.py`.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/client.py");

pub struct Client {
    child: Child,
    socket: PathBuf,
}

impl Client {
    /// From a command of the environment's Python, and a place for its socket.
    #[track_caller]
    pub fn start(mut python: Command, socket: PathBuf) -> Client {
        python.arg(SCRIPT).arg(&socket).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "the openstack client did not start");
        Client { child, socket }
    }

    #[track_caller]
    pub fn run(&self, cloud: &str, arguments: &[&str]) -> Output {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        writeln!(stream, "{}", json!({"cloud": cloud, "args": arguments})).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
        let text = |part: &str| answer[part].as_str().unwrap().as_bytes().to_vec();
        let status = i32::try_from(answer["status"].as_i64().unwrap()).unwrap();
        Output { status: ExitStatus::from_raw(status), stdout: text("stdout"), stderr: text("stderr") }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
