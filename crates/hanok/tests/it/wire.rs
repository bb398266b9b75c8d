//! A wire for bare machines: a bridge in a network namespace, and this machine's end of a cable to it.

use std::process::Command;

pub struct Wire {
    /// Its bridge is `br0`.
    pub netns: String,
    /// Ours.
    pub nic: String,
}

impl Wire {
    #[track_caller]
    pub fn new() -> Wire {
        let n = std::process::id();
        let wire = Wire { netns: format!("metal{n}"), nic: format!("rk{n}") };
        let (netns, nic) = (&wire.netns, &wire.nic);
        for line in [
            format!("netns add {netns}"),
            format!("-n {netns} link set lo up"),
            format!("-n {netns} link add br0 type bridge"),
            format!("-n {netns} link set br0 up"),
            format!("link add {nic} type veth peer name cable netns {netns}"),
            format!("-n {netns} link set cable master br0 up"),
            format!("link set {nic} up"),
        ] {
            assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
        }
        wire
    }

    /// What is plugged to it.
    pub fn bridge(&self) -> (&str, &str) {
        (&self.netns, "br0")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.nic]).status();
        let _ = Command::new("ip").args(["netns", "del", &self.netns]).status();
    }
}
