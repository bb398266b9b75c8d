//! Packets of RMCP+ (IPMI 2.0, chapter 13): made, and read with suspicion. Nothing here panics on what comes in.

use super::suite::{Suite, decrypt, encrypt};

/// RMCP version 1.0, no acknowledgement wanted, class IPMI.
const RMCP: [u8; 4] = [6, 0, 0xff, 7];
/// Format of the session header: IPMI 2.0.
const RMCP_PLUS: u8 = 6;
/// Format of the session header: IPMI 1.5, outside any session.
const NO_SESSION: u8 = 0;
/// Bytes up to the payload: RMCP, format, type, session, sequence, length.
const HEADER: usize = 16;
const ENCRYPTED: u8 = 0x80;
const AUTHENTICATED: u8 = 0x40;
/// The BMC, and us, as addresses on its bus.
const BMC: u8 = 0x20;
const US: u8 = 0x81;

pub(super) const OPEN: u8 = 0x10;
pub(super) const OPENED: u8 = 0x11;
pub(super) const RAKP_1: u8 = 0x12;
pub(super) const RAKP_2: u8 = 0x13;
pub(super) const RAKP_3: u8 = 0x14;
pub(super) const RAKP_4: u8 = 0x15;

/// A command or its answer's beginning: network function, command, and the number that joins the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Command {
    pub function: u8,
    pub command: u8,
    pub number: u8,
}

/// What a session's packets are sealed with.
pub(super) struct Keys {
    pub suite: Suite,
    pub integrity: Vec<u8>,
    pub secrecy: [u8; 16],
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)).wrapping_neg()
}

/// A message to the BMC.
pub(super) fn message(command: Command, data: &[u8]) -> Vec<u8> {
    let mut message = vec![BMC, command.function << 2];
    message.push(checksum(&message));
    message.extend_from_slice(&[US, command.number << 2, command.command]);
    message.extend_from_slice(data);
    message.push(checksum(&message[3..]));
    message
}

/// Completion code and data of the answer to this command, if it is one.
pub(super) fn answer(message: &[u8], to: Command) -> Option<(u8, &[u8])> {
    let (head, rest) = message.split_first_chunk::<6>()?;
    let (sum, rest) = rest.split_last()?;
    let (code, data) = rest.split_first()?;
    let fits = head[1] >> 2 == to.function | 1 && head[4] >> 2 == to.number & 0x3f && head[5] == to.command;
    let whole = checksum(&head[..2]) == head[2] && checksum(&message[3..message.len() - 1]) == *sum;
    (fits && whole).then_some((*code, data))
}

/// A message outside any session, in the old format that every BMC reads.
pub(super) fn bare_old(message: &[u8]) -> Vec<u8> {
    let mut packet = RMCP.to_vec();
    packet.extend_from_slice(&[NO_SESSION, 0, 0, 0, 0, 0, 0, 0, 0, message.len() as u8]);
    packet.extend_from_slice(message);
    packet
}

pub(super) fn read_bare_old(packet: &[u8]) -> Option<&[u8]> {
    let rest = packet.strip_prefix(&RMCP)?.strip_prefix(&[NO_SESSION])?;
    let (head, rest) = rest.split_first_chunk::<9>()?;
    rest.get(..usize::from(head[8]))
}

/// A message of the handshake.
pub(super) fn bare(kind: u8, payload: &[u8]) -> Vec<u8> {
    head(kind, 0, 0, payload)
}

fn head(kind: u8, session: u32, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = RMCP.to_vec();
    packet.extend_from_slice(&[RMCP_PLUS, kind]);
    packet.extend_from_slice(&session.to_le_bytes());
    packet.extend_from_slice(&sequence.to_le_bytes());
    packet.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// Type, session, sequence and payload.
fn read_head(packet: &[u8]) -> Option<(u8, u32, u32, &[u8])> {
    let rest = packet.strip_prefix(&RMCP)?.strip_prefix(&[RMCP_PLUS])?;
    let (kind, rest) = rest.split_first()?;
    let (session, rest) = rest.split_first_chunk::<4>()?;
    let (sequence, rest) = rest.split_first_chunk::<4>()?;
    let (bytes, rest) = rest.split_first_chunk::<2>()?;
    let payload = rest.get(..usize::from(u16::from_le_bytes(*bytes)))?;
    Some((*kind, u32::from_le_bytes(*session), u32::from_le_bytes(*sequence), payload))
}

pub(super) fn read_bare(packet: &[u8], kind: u8) -> Option<&[u8]> {
    let (k, session, _, payload) = read_head(packet)?;
    (k == kind && session == 0).then_some(payload)
}

/// A message within a session. `start` is random.
pub(super) fn sealed(keys: &Keys, session: u32, sequence: u32, start: [u8; 16], message: &[u8]) -> Vec<u8> {
    sealed_as(0, keys, session, sequence, start, message)
}

/// As [`sealed`], of another kind than a message (IPMI 2.0, table 13-16).
pub(super) fn sealed_as(
    kind: u8,
    keys: &Keys,
    session: u32,
    sequence: u32,
    start: [u8; 16],
    message: &[u8],
) -> Vec<u8> {
    let payload = encrypt(&keys.secrecy, start, message);
    let mut packet = head(ENCRYPTED | AUTHENTICATED | kind, session, sequence, &payload);
    // What is signed, from the format byte to the two that follow the padding, is a multiple of four.
    let padding = (4 - (packet.len() - RMCP.len() + 2) % 4) % 4;
    packet.extend(std::iter::repeat_n(0xff, padding));
    packet.extend_from_slice(&[padding as u8, RMCP[3]]);
    let mut check = keys.suite.mac(&keys.integrity, &[&packet[RMCP.len()..]]);
    check.truncate(keys.suite.check_bytes());
    packet.extend_from_slice(&check);
    packet
}

/// Sequence and message of a packet to us whose seal is good.
pub(super) fn read_sealed(keys: &Keys, session: u32, packet: &[u8]) -> Option<(u32, Vec<u8>)> {
    let (kind, sequence, message) = read_sealed_any(keys, session, packet)?;
    (kind == 0).then_some((sequence, message))
}

/// Kind, sequence and content of a packet to us whose seal is good.
pub(super) fn read_sealed_any(keys: &Keys, session: u32, packet: &[u8]) -> Option<(u8, u32, Vec<u8>)> {
    const SEALED: u8 = ENCRYPTED | AUTHENTICATED;
    let (kind, to, sequence, payload) = read_head(packet)?;
    if kind & SEALED != SEALED || to != session {
        return None;
    }
    let signed =
        packet.len().checked_sub(keys.suite.check_bytes()).filter(|n| *n >= HEADER + payload.len())?;
    let good = keys.suite.proves(&keys.integrity, &[&packet[RMCP.len()..signed]], &packet[signed..]);
    if !good {
        return None;
    }
    Some((kind & !SEALED, sequence, decrypt(&keys.secrecy, payload)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys { suite: Suite::Seventeen, integrity: vec![1; 32], secrecy: [2; 16] }
    }

    #[test]
    fn an_answer_belongs_to_its_command() {
        let asked = Command { function: 0, command: 1, number: 5 };
        let mut said = vec![US, 1 << 2];
        said.push(checksum(&said));
        said.extend_from_slice(&[BMC, 5 << 2, 1, 0, 0x21]);
        said.push(checksum(&said[3..]));
        assert_eq!(answer(&said, asked), Some((0, [0x21].as_slice())));
        assert_eq!(answer(&said, Command { number: 6, ..asked }), None);
        assert_eq!(answer(&said, Command { command: 2, ..asked }), None);
        assert_eq!(answer(&said, Command { function: 6, ..asked }), None);
        said[7] ^= 1;
        assert_eq!(answer(&said, asked), None, "a byte was changed");
    }

    #[test]
    fn a_sealed_packet_opens_with_its_keys_only() {
        let packet = sealed(&keys(), 77, 3, [9; 16], b"hello");
        assert_eq!(read_sealed(&keys(), 77, &packet), Some((3, b"hello".to_vec())));
        assert_eq!(read_sealed(&keys(), 78, &packet), None);
        let other = Keys { integrity: vec![3; 32], ..keys() };
        assert_eq!(read_sealed(&other, 77, &packet), None);
        for at in 4..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 0x10;
            assert_eq!(read_sealed(&keys(), 77, &changed), None, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_comes_in_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), plus: bool) {
            if plus {
                bytes = [&RMCP, [RMCP_PLUS, 0xc0].as_slice(), &bytes].concat();
            }
            let _ = read_sealed(&keys(), 0, &bytes);
            let _ = read_bare(&bytes, OPENED);
            let _ = read_bare_old(&bytes);
            let _ = answer(&bytes, Command { function: 0, command: 0, number: 0 });
        }
    }
}
