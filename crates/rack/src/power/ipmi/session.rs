//! One RMCP+ session with a BMC: the handshake (IPMI 2.0, 13.15 to 13.24), then one command after another.
//!
//! Every message is sent again with growing pauses while nothing answers; whatever comes in that is not the
//! answer to the message just sent is passed over. A command that is sent again keeps its number, so that a
//! BMC that has carried it out does not do so twice.

use super::suite::Suite;
use super::wire::{self, Command, Keys, OPEN, OPENED, RAKP_1, RAKP_2, RAKP_3, RAKP_4};
use rand::Rng;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// How long an answer is waited for, try by try.
const PATIENCE: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(4)];
/// How often and after what pause a BMC is asked again that is busy.
const BUSY_TRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_millis(500);
const PACKET_MAX: usize = 1024;

const APPLICATION: u8 = 6;
const GET_CHANNEL_AUTHENTICATION: u8 = 0x38;
const SET_PRIVILEGE: u8 = 0x3b;
const CLOSE: u8 = 0x3c;
/// The channel that the question comes in by; IPMI 2.0 data is wanted.
const THIS_CHANNEL: u8 = 0x8e;
const OPERATOR: u8 = 3;
const ADMINISTRATOR: u8 = 4;
/// The user is looked up by name alone, not by name and privilege.
const BY_NAME: u8 = 0x10;
const BUSY: u8 = 0xc0;

/// Why there is no session, or no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fail {
    Silent,
    /// It answers until a user is named.
    Mute,
    /// The network says that nothing listens there.
    Closed,
    Socket(String),
    /// It speaks IPMI 1.5 only.
    Old,
    /// It wants a second key (K_g), which we have not.
    SecondKey,
    /// It takes none of the cipher suites that were offered.
    Suite,
    User,
    Password,
    /// The user may not switch power.
    Privilege,
    /// All its sessions are taken.
    Full,
    /// Status of the handshake that has no words of its own.
    Status(u8),
    Odd,
}

pub(super) struct Session {
    socket: UdpSocket,
    keys: Keys,
    /// Its name for the session, and ours.
    theirs: u32,
    ours: u32,
    sequence: u32,
    last_in: u32,
    number: u8,
    pub last_used: Instant,
}

/// What the handshake works with.
struct Caller<'a> {
    socket: &'a UdpSocket,
    user: &'a [u8],
    password: &'a [u8],
    suite: Suite,
    privilege: u8,
    ours: u32,
    /// A message had to be sent twice: two answers may be on their way.
    again: bool,
}

impl Session {
    /// Opens a session with the first of `suites` that the BMC takes, and says which.
    pub async fn open(
        to: SocketAddr,
        user: &str,
        password: &str,
        suites: &[Suite],
    ) -> Result<(Session, Suite), Fail> {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await.map_err(|e| Fail::Socket(e.to_string()))?;
        socket.connect(to).await.map_err(|e| Fail::Socket(e.to_string()))?;
        let second_key = capabilities(&socket).await?;
        let mut last = Fail::Suite;
        for suite in suites {
            for privilege in [ADMINISTRATOR, OPERATOR] {
                match shake(&socket, user, password, *suite, privilege).await {
                    Ok((theirs, ours, keys)) => {
                        let mut session = Session::new(socket, keys, theirs, ours);
                        if let Err(fail) = session.raise(privilege).await {
                            session.close().await;
                            return Err(fail);
                        }
                        return Ok((session, *suite));
                    }
                    // Perhaps the user is an operator, who may switch power too.
                    Err(Fail::Privilege) => last = Fail::Privilege,
                    Err(Fail::Suite) => {
                        last = Fail::Suite;
                        break;
                    }
                    Err(Fail::Password) if second_key => return Err(Fail::SecondKey),
                    Err(other) => return Err(other),
                }
            }
        }
        Err(last)
    }

    fn new(socket: UdpSocket, keys: Keys, theirs: u32, ours: u32) -> Session {
        Session { socket, keys, theirs, ours, sequence: 0, last_in: 0, number: 0, last_used: Instant::now() }
    }

    /// A session begins with the rights of a user, who may look only. Many BMCs open one for an administrator to an
    /// operator too, and refuse him only here.
    async fn raise(&mut self, highest: u8) -> Result<(), Fail> {
        for privilege in (OPERATOR..=highest).rev() {
            if self.ask(APPLICATION, SET_PRIVILEGE, &[privilege]).await?.0 == 0 {
                return Ok(());
            }
        }
        Err(Fail::Privilege)
    }

    /// Sends a command and gives back completion code and data.
    pub async fn ask(&mut self, function: u8, command: u8, data: &[u8]) -> Result<(u8, Vec<u8>), Fail> {
        for _ in 0..BUSY_TRIES {
            let answer = self.ask_once(function, command, data).await?;
            if answer.0 != BUSY {
                return Ok(answer);
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
        Ok((BUSY, Vec::new()))
    }

    async fn ask_once(&mut self, function: u8, command: u8, data: &[u8]) -> Result<(u8, Vec<u8>), Fail> {
        self.number = self.number.wrapping_add(1) & 0x3f;
        let asked = Command { function, command, number: self.number };
        let message = wire::message(asked, data);
        for patience in PATIENCE {
            self.sequence = self.sequence.wrapping_add(1);
            let start = rand::rng().random();
            let packet = wire::sealed(&self.keys, self.theirs, self.sequence, start, &message);
            let (keys, ours, last_in) = (&self.keys, self.ours, &mut self.last_in);
            let found = listen(&self.socket, &packet, patience, |packet| {
                let (sequence, message) = wire::read_sealed(keys, ours, packet)?;
                // What is as old as what was read before is somebody's copy.
                if sequence <= *last_in {
                    return None;
                }
                let (code, data) = wire::answer(&message, asked)?;
                *last_in = sequence;
                Some((code, data.to_vec()))
            });
            if let Some(answer) = found.await? {
                self.last_used = Instant::now();
                return Ok(answer);
            }
        }
        Err(Fail::Silent)
    }

    /// A question whose answer is only a sign of life.
    pub fn question(&mut self, function: u8, command: u8) -> Vec<u8> {
        self.number = self.number.wrapping_add(1) & 0x3f;
        wire::message(Command { function, command, number: self.number }, &[])
    }

    /// Sends a payload of some kind and waits for nothing.
    pub async fn send(&mut self, kind: u8, payload: &[u8]) -> Result<(), Fail> {
        self.sequence = self.sequence.wrapping_add(1);
        let start = rand::rng().random();
        let packet = wire::sealed_as(kind, &self.keys, self.theirs, self.sequence, start, payload);
        self.socket.send(&packet).await.map(drop).map_err(of_socket)
    }

    /// The next payload of the session, whatever kind it is. What is lost while nobody waits is sent again.
    pub async fn receive(&mut self) -> Result<(u8, Vec<u8>), Fail> {
        let mut buffer = [0_u8; PACKET_MAX];
        loop {
            let bytes = self.socket.recv(&mut buffer).await.map_err(of_socket)?;
            let found = wire::read_sealed_any(&self.keys, self.ours, &buffer[..bytes]);
            if let Some((kind, sequence, payload)) = found.filter(|(_, n, _)| *n > self.last_in) {
                self.last_in = sequence;
                return Ok((kind, payload));
            }
        }
    }

    /// Gives the session back; the BMC has few. That it could not be told is no matter: it forgets by itself.
    pub async fn close(mut self) {
        self.number = self.number.wrapping_add(1) & 0x3f;
        self.sequence = self.sequence.wrapping_add(1);
        let asked = Command { function: APPLICATION, command: CLOSE, number: self.number };
        let message = wire::message(asked, &self.theirs.to_le_bytes());
        let start = rand::rng().random();
        let packet = wire::sealed(&self.keys, self.theirs, self.sequence, start, &message);
        let _ = listen(&self.socket, &packet, PATIENCE[0], |packet| {
            wire::read_sealed(&self.keys, self.ours, packet)
        })
        .await;
    }
}

/// Sends a packet and reads until `wanted` finds something; `None` when `patience` has run out.
async fn listen<T>(
    socket: &UdpSocket,
    packet: &[u8],
    patience: Duration,
    mut wanted: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Option<T>, Fail> {
    let until = Instant::now() + patience;
    socket.send(packet).await.map_err(of_socket)?;
    let mut buffer = [0u8; PACKET_MAX];
    loop {
        match timeout_at(until, socket.recv(&mut buffer)).await {
            Err(_) => return Ok(None),
            Ok(Err(e)) => return Err(of_socket(e)),
            Ok(Ok(bytes)) => {
                if let Some(found) = wanted(&buffer[..bytes]) {
                    return Ok(Some(found));
                }
            }
        }
    }
}

fn of_socket(e: std::io::Error) -> Fail {
    match e.kind() {
        std::io::ErrorKind::ConnectionRefused => Fail::Closed,
        _ => Fail::Socket(e.to_string()),
    }
}

/// Asks what the BMC can, as IPMI 2.0 in 13.14 has it before a session. Says whether it wants a second key.
async fn capabilities(socket: &UdpSocket) -> Result<bool, Fail> {
    let asked = Command { function: APPLICATION, command: GET_CHANNEL_AUTHENTICATION, number: 1 };
    let packet = wire::bare_old(&wire::message(asked, &[THIS_CHANNEL, ADMINISTRATOR]));
    for patience in PATIENCE {
        let found = listen(socket, &packet, patience, |packet| {
            let (code, data) = wire::answer(wire::read_bare_old(packet)?, asked)?;
            Some((code, data.to_vec()))
        });
        let Some((code, data)) = found.await? else { continue };
        // Channel, kinds of authentication (bit 7: more follows), status (bit 5: K_g), more (bit 1: 2.0).
        return match data.as_slice() {
            [_, kinds, status, more, ..] if code == 0 => {
                if kinds & 0x80 == 0 || more & 2 == 0 {
                    Err(Fail::Old)
                } else {
                    Ok(status & 0x20 != 0)
                }
            }
            // A BMC that does not know the question may know the handshake.
            _ => Ok(false),
        };
    }
    Err(Fail::Silent)
}

/// One handshake, and another one when a message of it was lost and the answers may be mixed up.
async fn shake(
    socket: &UdpSocket,
    user: &str,
    password: &str,
    suite: Suite,
    privilege: u8,
) -> Result<(u32, u32, Keys), Fail> {
    for last in [false, true] {
        let ours = rand::rng().random_range(1..=u32::MAX);
        let (user, password) = (user.as_bytes(), password.as_bytes());
        let mut caller = Caller { socket, user, password, suite, privilege, ours, again: false };
        match caller.shake().await {
            Err(Fail::Password | Fail::Status(_)) if caller.again && !last => {}
            other => return other.map(|(theirs, keys)| (theirs, ours, keys)),
        }
    }
    Err(Fail::Silent)
}

impl Caller<'_> {
    async fn shake(&mut self) -> Result<(u32, Keys), Fail> {
        let [authentication, integrity, secrecy] = self.suite.algorithms();
        let mut wish = vec![1, 0, 0, 0];
        wish.extend_from_slice(&self.ours.to_le_bytes());
        for (kind, algorithm) in [(0, authentication), (1, integrity), (2, secrecy)] {
            wish.extend_from_slice(&[kind, 0, 0, 8, algorithm, 0, 0, 0]);
        }
        let opened = self.exchange(OPEN, &wish, OPENED).await?;
        let theirs: [u8; 4] = opened.get(8..12).and_then(|b| b.try_into().ok()).ok_or(Fail::Odd)?;
        let taken = [16, 24, 32].map(|at| opened.get(at).copied().unwrap_or(0));
        if taken != self.suite.algorithms() {
            return Err(Fail::Suite);
        }

        let dice: [u8; 16] = rand::rng().random();
        let role = BY_NAME | self.privilege;
        let name = [&[role, self.user.len() as u8], self.user].concat();
        let mut hello = vec![2, 0, 0, 0];
        hello.extend_from_slice(&theirs);
        hello.extend_from_slice(&dice);
        hello.extend_from_slice(&[role, 0, 0, self.user.len() as u8]);
        hello.extend_from_slice(self.user);
        let said = self.exchange(RAKP_1, &hello, RAKP_2).await;
        let said = said.map_err(|f| if f == Fail::Silent { Fail::Mute } else { f })?;
        let (its_dice, guid) = (said.get(8..24).ok_or(Fail::Odd)?, said.get(24..40).ok_or(Fail::Odd)?);
        let code = said.get(40..).filter(|c| c.len() == self.suite.code_bytes()).ok_or(Fail::Odd)?;
        let ours = self.ours.to_le_bytes();
        let parts: [&[u8]; 6] = [&ours, &theirs, &dice, its_dice, guid, &name];
        if !self.suite.proves(self.password, &parts, code) {
            self.give_up(theirs).await;
            return Err(Fail::Password);
        }

        let mut proof = vec![3, 0, 0, 0];
        proof.extend_from_slice(&theirs);
        proof.extend(self.suite.mac(self.password, &[its_dice, &ours, &name]));
        let key = self.suite.mac(self.password, &[&dice, its_dice, &name]);
        let end = self.exchange(RAKP_3, &proof, RAKP_4).await?;
        let check = end.get(8..).ok_or(Fail::Odd)?;
        if !self.suite.proves(&key, &[&dice, &theirs, guid], check) {
            return Err(Fail::Password);
        }
        let mut secrecy = [0; 16];
        secrecy.copy_from_slice(&self.suite.mac(&key, &[&[2; 20]])[..16]);
        let integrity = self.suite.mac(&key, &[&[1; 20]]);
        Ok((u32::from_le_bytes(theirs), Keys { suite: self.suite, integrity, secrecy }))
    }

    /// Sends a message of the handshake until its answer comes: a payload with its tag, a good status, and for
    /// our session.
    async fn exchange(&mut self, kind: u8, payload: &[u8], answer: u8) -> Result<Vec<u8>, Fail> {
        let packet = wire::bare(kind, payload);
        for (round, patience) in PATIENCE.into_iter().enumerate() {
            self.again |= round > 0;
            let found = listen(self.socket, &packet, patience, |packet| {
                let said = wire::read_bare(packet, answer)?;
                let refused = *said.get(1)? != 0;
                let for_us = said.get(4..8).is_some_and(|id| id == self.ours.to_le_bytes());
                (said[0] == payload[0] && (refused || for_us)).then(|| said.to_vec())
            });
            match found.await? {
                Some(said) if said[1] == 0 => return Ok(said),
                Some(said) => return Err(of_status(said[1])),
                None => {}
            }
        }
        Err(Fail::Silent)
    }

    /// Tells the BMC that its proof is wrong, so that it frees the session.
    async fn give_up(&self, theirs: [u8; 4]) {
        const WRONG_CODE: u8 = 0x0f;
        let packet = wire::bare(RAKP_3, &[[3, WRONG_CODE, 0, 0], theirs].concat());
        let _ = self.socket.send(&packet).await;
    }
}

/// Status codes of the handshake (IPMI 2.0, table 13-15).
fn of_status(status: u8) -> Fail {
    match status {
        0x01 | 0x0b => Fail::Full,
        0x04..=0x07 | 0x10 | 0x11 => Fail::Suite,
        0x09 | 0x0a => Fail::Privilege,
        0x0c | 0x0d => Fail::User,
        0x0f => Fail::Password,
        other => Fail::Status(other),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
