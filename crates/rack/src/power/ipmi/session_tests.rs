//! A BMC that looks at the rights of a user only when it is asked for them.

use super::super::Ipmi;
use super::*;

const USER: &[u8] = b"op";
const PASSWORD: &[u8] = b"secret";
const THEIRS: [u8; 4] = [7, 7, 7, 7];
const DICE: [u8; 16] = [5; 16];
const GUID: [u8; 16] = [6; 16];

/// A session as the BMC has it.
struct Held {
    ours: [u8; 4],
    keys: Keys,
    sequence: u32,
}

/// Serves whoever asks first. Says every command of a session: command and first byte of its data.
async fn bmc(socket: UdpSocket, highest: u8, said: tokio::sync::mpsc::UnboundedSender<(u8, Option<u8>)>) {
    let suite = Suite::Seventeen;
    let (mut ours, mut dice, mut name) = ([0; 4], Vec::new(), Vec::new());
    let mut held: Option<Held> = None;
    let mut buffer = [0; PACKET_MAX];
    loop {
        let (n, from) = socket.recv_from(&mut buffer).await.unwrap();
        let packet = &buffer[..n];
        let answer = if let Some(message) = wire::read_bare_old(packet) {
            wire::bare_old(&reply(message, 0, &[1, 0x80, 0, 2]))
        } else if let Some(wish) = wire::read_bare(packet, OPEN) {
            ours = wish[4..8].try_into().unwrap();
            wire::bare(OPENED, &[&[wish[0], 0, ADMINISTRATOR, 0][..], &ours, &THEIRS, &wish[8..]].concat())
        } else if let Some(hello) = wire::read_bare(packet, RAKP_1) {
            dice = hello[8..24].to_vec();
            name = [&hello[24..25], &hello[27..]].concat();
            let parts: [&[u8]; 6] = [&ours, &THEIRS, &dice, &DICE, &GUID, &name];
            let code = suite.mac(PASSWORD, &parts);
            wire::bare(RAKP_2, &[&[hello[0], 0, 0, 0][..], &ours, &DICE, &GUID, &code].concat())
        } else if let Some(proof) = wire::read_bare(packet, RAKP_3) {
            let key = suite.mac(PASSWORD, &[&dice, &DICE, &name]);
            let mut secrecy = [0; 16];
            secrecy.copy_from_slice(&suite.mac(&key, &[&[2; 20]])[..16]);
            let integrity = suite.mac(&key, &[&[1; 20]]);
            held = Some(Held { ours, keys: Keys { suite, integrity, secrecy }, sequence: 0 });
            let check = &suite.mac(&key, &[&dice, &THEIRS, &GUID])[..suite.check_bytes()];
            wire::bare(RAKP_4, &[&[proof[0], 0, 0, 0][..], &ours, check].concat())
        } else if let Some(held) = &mut held {
            let (_, message) = wire::read_sealed(&held.keys, u32::from_le_bytes(THEIRS), packet).unwrap();
            let data = &message[6..message.len() - 1];
            said.send((message[5], data.first().copied())).unwrap();
            let refused = message[5] == SET_PRIVILEGE && data[0] > highest;
            held.sequence += 1;
            let answer = reply(&message, if refused { 0x81 } else { 0 }, &[1]);
            wire::sealed(&held.keys, u32::from_le_bytes(held.ours), held.sequence, [3; 16], &answer)
        } else {
            panic!("{packet:?}");
        };
        socket.send_to(&answer, from).await.unwrap();
    }
}

/// The answer to a message (IPMI 2.0, 13.8): the same numbers, the two sides swapped.
fn reply(message: &[u8], code: u8, data: &[u8]) -> Vec<u8> {
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b)).wrapping_neg();
    let mut out = vec![message[3], message[1] | 4];
    out.push(sum(&out));
    out.extend_from_slice(&[message[0], message[4], message[5], code]);
    out.extend_from_slice(data);
    out.push(sum(&out[3..]));
    out
}

/// The commands of a session in which the machine is looked at, and what came of it.
async fn look(highest: u8) -> (Vec<(u8, Option<u8>)>, bool) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let running = tokio::spawn(bmc(socket, highest, tell));
    let user = std::str::from_utf8(USER).unwrap();
    let mut ipmi = Ipmi::new("127.0.0.1", at.port(), user, std::str::from_utf8(PASSWORD).unwrap(), Some(17));
    let on = ipmi.read().await;
    ipmi.rest().await;
    running.abort();
    let mut all = Vec::new();
    while let Ok(one) = told.try_recv() {
        all.push(one);
    }
    (all, on.is_ok_and(|on| on))
}

#[tokio::test]
async fn an_operator_is_one_whatever_the_session_began_as() {
    let (said, on) = look(OPERATOR).await;
    assert!(on, "{said:?}");
    assert_eq!(said[..2], [(SET_PRIVILEGE, Some(ADMINISTRATOR)), (SET_PRIVILEGE, Some(OPERATOR))]);
    assert_eq!(look(ADMINISTRATOR).await.0[0], (SET_PRIVILEGE, Some(ADMINISTRATOR)));
}

#[tokio::test]
async fn a_session_without_rights_is_given_back() {
    let (said, on) = look(OPERATOR - 1).await;
    assert!(!on);
    assert_eq!(said.last(), Some(&(CLOSE, Some(THEIRS[0]))), "{said:?}");
}
