//! What OpenIPMI's `ipmi_sim` says of its clients with `-d`: each packet that comes in, and what it found wrong with it.

use std::collections::{HashMap, HashSet};

/// What it heard, and what of that was wrong.
#[derive(Debug, Default)]
pub struct Heard {
    /// Packets inside of sessions, and sessions.
    pub packets: usize,
    pub sessions: usize,
    /// Requests to open one. Whoever gets no answer in time sends another, and there is a second session that
    /// nobody knows of, until its time is over.
    pub opens: usize,
    /// Of packets: Serial over LAN.
    pub serial: usize,
    pub wrong: Vec<String>,
}

/// RMCP+ (IPMI 2.0, 13.6): RMCP's version, 0, no number, class IPMI; then the format of 2.0.
const HEADER: [u8; 5] = [6, 0, 0xff, 7, 6];
/// Kinds of payload (13.27.3).
const SERIAL: u8 = 1;
const OPEN: u8 = 0x10;
const RAKP_1: u8 = 0x12;
/// Beside the kind: whether it is authenticated and encrypted.
const SECURE: u8 = 0xc0;

/// Reads its log. A client must number what it sends in a session upwards (6.12.13: a number is never used twice), and
/// encrypt and authenticate it; nothing that it says may be refused.
pub fn read(log: &str) -> Heard {
    let mut heard = Heard::default();
    // By the session's number at the BMC, which gives one again when a session is over.
    let mut last: HashMap<u32, u32> = HashMap::new();
    // Sessions of which no more than their beginning has come.
    let mut young = HashSet::new();
    let mut lines = log.lines();
    while let Some(line) = lines.next() {
        if line.contains("Receive message:") {
            packet(&hex(lines.next().unwrap_or_default()), &mut last, &mut young, &mut heard);
        } else if !line.starts_with(' ') && is_complaint(line) {
            heard.wrong.push(line.to_owned());
        }
    }
    let mut unknown = heard.opens.saturating_sub(heard.sessions);
    heard.wrong.retain(|line| {
        let forgiven = unknown > 0 && line.contains("Closed due to timeout");
        unknown -= usize::from(forgiven);
        !forgiven
    });
    heard
}

fn is_complaint(line: &str) -> bool {
    let line = line.to_lowercase();
    ["fail", "invalid", "out of range", "timeout", "error", "rakp msg"].iter().any(|word| line.contains(word))
}

fn hex(line: &str) -> Vec<u8> {
    line.split_whitespace().filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

fn packet(bytes: &[u8], last: &mut HashMap<u32, u32>, young: &mut HashSet<u32>, heard: &mut Heard) {
    let Some((&kind, rest)) = bytes.strip_prefix(&HEADER).and_then(<[u8]>::split_first) else { return };
    let number = |at: usize| rest.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let (Some(session), Some(sequence)) = (number(0), number(4)) else {
        return heard.wrong.push(format!("a packet of {} bytes", bytes.len()));
    };
    if session == 0 {
        // Before there is one. Its tag and three zeros come before the number of the session that is to be.
        heard.opens += usize::from(kind & !SECURE == OPEN);
        if let Some(begun) = number(14).filter(|_| kind & !SECURE == RAKP_1) {
            // Not when it is only said again.
            heard.sessions += usize::from(young.insert(begun));
            last.remove(&begun);
        }
        return;
    }
    young.remove(&session);
    heard.packets += 1;
    heard.serial += usize::from(kind & !SECURE == SERIAL);
    if kind & SECURE != SECURE {
        heard.wrong.push(format!("a packet of kind {kind:#x} in session {session:#x} is not secure"));
    }
    let before = last.insert(session, sequence);
    if before.is_some_and(|before| sequence <= before) || sequence == 0 {
        heard.wrong.push(format!("number {sequence} after {before:?} in session {session:#x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    const BEGIN: &str = "06 00 ff 07 06 12 00 00 00 00 00 00 00 00 1f 00 00 00 00 00 02 00 00 00 d3 02";

    /// A log with these packets of the session 2.
    fn log(packets: &[(&str, u8)]) -> String {
        let one = |(kind, number): &(&str, u8)| {
            format!(
                " Receive message: 17.5\n 06 00 ff 07 06 {kind} 02 00 00 00 {number:02x} 00 00 00 10 00 1a\n"
            )
        };
        format!(" Receive message: 17.4\n {BEGIN}\n{}", packets.iter().map(one).collect::<String>())
    }

    #[test]
    fn numbers_rise_in_each_session_and_nothing_is_refused() {
        let good = log(&[("c0", 1), ("c0", 2), ("c1", 4)]);
        let heard =
            read(&format!("> {good}{good}Session closed: Closed due to request\n channel=1 cmd=0x3c\n"));
        assert_eq!((heard.packets, heard.sessions, heard.serial), (6, 2, 2));
        assert_eq!(heard.wrong, Vec::<String>::new());
        for bad in
            [[("c0", 1), ("c0", 1)], [("c0", 7), ("c0", 6)], [("c0", 0), ("c0", 1)], [("00", 1), ("c0", 2)]]
        {
            assert_eq!(read(&log(&bad)).wrong.len(), 1, "{bad:?}");
        }
        // A session that was begun twice, and one that nobody knows of because its answer did not come in time.
        let open = BEGIN.replacen(" 12 ", " 10 ", 1);
        let timeout = "Session closed: Closed due to timeout\n";
        let twice = format!(
            " Receive message: 17.4\n {open}\n Receive message: 17.4\n {open}\n Receive message: 17.4\n {BEGIN}\n{good}"
        );
        let heard = read(&(twice.clone() + timeout));
        assert_eq!((heard.opens, heard.sessions, heard.wrong.len()), (2, 1, 0), "{heard:?}");
        assert_eq!(read(&(twice + timeout + timeout)).wrong.len(), 1, "one of ours was not given back");
        for bad in [
            "Normal session message failure: SEQ out of range",
            "Normal session message failure: Invalid SID",
            "LAN msg failure: Message integrity failed",
            "No session message failed: Invalid command: 0x11",
            "RAKP msg: check3 failed: 0x12",
            "Session closed: Closed due to timeout",
        ] {
            assert_eq!(read(bad).wrong, [bad]);
        }
    }
}
