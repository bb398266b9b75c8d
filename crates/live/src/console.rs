//! Words for the person in front of the machine, on every console that the kernel uses.

use std::io::Write;

/// One line on every console. A console that is not there (a serial port without hardware) is passed over.
pub fn say(line: &str) {
    let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    for name in active.split_whitespace() {
        if let Ok(mut tty) = std::fs::OpenOptions::new().write(true).open(format!("/dev/{name}")) {
            let _ = tty.write_all(format!("hanok: {line}\r\n").as_bytes());
        }
    }
}

/// Says a thing once, until something else is said: for what is tried again and again.
#[derive(Default)]
pub struct Once(String);

impl Once {
    pub fn say(&mut self, line: &str) {
        if self.0 != line {
            say(line);
            line.clone_into(&mut self.0);
        }
    }
}
