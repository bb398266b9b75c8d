//! Serial over LAN (IPMI 2.0, chapter 15): the machine's serial port in a session with its BMC.
//!
//! Each side numbers what it sends from 1 to 15, sends it again until the other says that it has it, and has one such
//! packet on its way at a time. A session of its own, so that power is switched meanwhile.

use super::session::{Fail, Session};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Kind of payload (13.27.3).
const SOL: u8 = 1;
const MESSAGE: u8 = 0;
const APPLICATION: u8 = 6;
const ACTIVATE: u8 = 0x48;
const DEACTIVATE: u8 = 0x49;
const DEVICE_ID: u8 = 1;
/// Encrypted and authenticated.
const SECURE: u8 = 0xc0;
const INSTANCE: u8 = 1;
/// Bits of the status byte that a BMC sends (table 15-2).
const NOT_TAKEN: u8 = 0x40;
const ENDING: u8 = 0x10;
/// Bytes of a packet before its characters.
const HEADER: usize = 4;
/// Most characters in a packet: every BMC takes so many.
const PIECE: usize = 64;
/// How long a packet waits before it is sent again, and how often.
const AGAIN: Duration = Duration::from_secs(1);
const TRIES: u32 = 10;
/// How often a sign of life is asked for. BMCs forget a session in which nothing was asked for a minute or less, however
/// much its console says meanwhile.
const ASK: Duration = Duration::from_secs(15);
/// Signs of life that may fail to come.
const SIGNS: u32 = 3;

/// Why there is no console.
pub(super) enum Shut {
    Session(Fail),
    /// Completion code of the activation.
    Refused(u8),
    /// The BMC says that it is over.
    Ended,
}

impl From<Fail> for Shut {
    fn from(fail: Fail) -> Self {
        Shut::Session(fail)
    }
}

/// The way to a serial port.
pub(in crate::power) struct Sol {
    session: Session,
    piece: usize,
    /// Numbers of what was sent and what came in last.
    sent: u8,
    heard: u8,
}

/// What was sent and not yet taken.
struct OnItsWay {
    packet: Vec<u8>,
    tries: u32,
    again: Instant,
}

impl Sol {
    /// Activates the console. One that is active already is taken over: it may be a rack's that has died.
    pub(super) async fn activate(mut session: Session) -> Result<Sol, Shut> {
        const ACTIVE_ALREADY: u8 = 0x80;
        let wish = [SOL, INSTANCE, SECURE, 0, 0, 0];
        let (mut code, mut said) = session.ask(APPLICATION, ACTIVATE, &wish).await?;
        if code == ACTIVE_ALREADY {
            session.ask(APPLICATION, DEACTIVATE, &[SOL, INSTANCE, 0, 0, 0, 0]).await?;
            (code, said) = session.ask(APPLICATION, ACTIVATE, &wish).await?;
        }
        if code != 0 {
            session.close().await;
            return Err(Shut::Refused(code));
        }
        // Four bytes of no use, then how long a packet to the BMC may be.
        let longest = said.get(4..6).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
        let piece = longest.saturating_sub(HEADER).clamp(1, PIECE);
        Ok(Sol { session, piece, sent: 0, heard: 0 })
    }

    /// Passes characters both ways until `typed` ends, nobody takes what is said any more, or the BMC is gone.
    pub(super) async fn run(
        mut self,
        mut typed: mpsc::Receiver<Bytes>,
        said: mpsc::Sender<Bytes>,
    ) -> Result<(), Shut> {
        let outcome = self.pass(&mut typed, &said).await;
        if !matches!(outcome, Err(Shut::Session(_))) {
            let _ = self.session.ask(APPLICATION, DEACTIVATE, &[SOL, INSTANCE, 0, 0, 0, 0]).await;
            self.session.close().await;
        }
        outcome
    }

    async fn pass(
        &mut self,
        typed: &mut mpsc::Receiver<Bytes>,
        said: &mpsc::Sender<Bytes>,
    ) -> Result<(), Shut> {
        let mut queue: VecDeque<u8> = VecDeque::new();
        let mut on_its_way: Option<OnItsWay> = None;
        let (mut sign, mut missed) = (Instant::now() + ASK, 0);
        loop {
            if on_its_way.is_none() && !queue.is_empty() {
                let piece: Vec<u8> = queue.drain(..queue.len().min(self.piece)).collect();
                self.sent = if self.sent >= 15 { 1 } else { self.sent + 1 };
                let packet = [&[self.sent, 0, 0, 0], piece.as_slice()].concat();
                self.session.send(SOL, &packet).await?;
                on_its_way = Some(OnItsWay { packet, tries: 1, again: Instant::now() + AGAIN });
            }
            let again = on_its_way.as_ref().map_or(sign, |p| p.again);
            tokio::select! {
                packet = self.session.receive() => {
                    let (kind, packet) = packet?;
                    missed = 0;
                    if kind == MESSAGE {
                        sign = Instant::now() + ASK;
                    }
                    if kind == SOL {
                        if let Some(rest) = taken(&mut on_its_way, &packet) {
                            rest.into_iter().rev().for_each(|b| queue.push_front(b));
                        }
                        let Some(new) = self.hear(&packet).await? else { return Err(Shut::Ended) };
                        if !new.is_empty() && said.send(new).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                // What cannot be sent yet is not read either.
                more = typed.recv(), if queue.len() < 4096 => match more {
                    Some(more) => queue.extend(more),
                    None => return Ok(()),
                },
                () = said.closed() => return Ok(()),
                () = sleep_until(again), if on_its_way.is_some() => {
                    let Some(p) = on_its_way.as_mut() else { continue };
                    if p.tries >= TRIES {
                        return Err(Fail::Silent.into());
                    }
                    p.tries += 1;
                    p.again = Instant::now() + AGAIN;
                    let packet = p.packet.clone();
                    self.session.send(SOL, &packet).await?;
                }
                () = sleep_until(sign) => {
                    if missed >= SIGNS {
                        return Err(Fail::Silent.into());
                    }
                    missed += 1;
                    sign = Instant::now() + ASK / 3;
                    let question = self.session.question(APPLICATION, DEVICE_ID);
                    self.session.send(MESSAGE, &question).await?;
                }
            }
        }
    }

    /// Says that a packet was taken; its characters, unless they came before. `None` when the BMC ends it.
    async fn hear(&mut self, packet: &[u8]) -> Result<Option<Bytes>, Fail> {
        let Some((&[number, _, _, status], said)) = packet.split_first_chunk::<HEADER>() else {
            return Ok(Some(Bytes::new()));
        };
        if status & ENDING != 0 {
            return Ok(None);
        }
        let number = number & 0x0f;
        if number == 0 {
            return Ok(Some(Bytes::new()));
        }
        self.session.send(SOL, &[0, number, u8::try_from(said.len()).unwrap_or(u8::MAX), 0]).await?;
        let new = number != self.heard;
        self.heard = number;
        Ok(Some(if new { Bytes::copy_from_slice(said) } else { Bytes::new() }))
    }
}

/// Whether what is on its way has come, and what of it was not taken and goes again.
fn taken(on_its_way: &mut Option<OnItsWay>, packet: &[u8]) -> Option<Vec<u8>> {
    let (&[_, number, count, status], _) = packet.split_first_chunk::<HEADER>()?;
    let sent = on_its_way.as_ref()?;
    if number & 0x0f != sent.packet[0] || number & 0x0f == 0 {
        return None;
    }
    let had = if status & NOT_TAKEN != 0 { usize::from(count) } else { usize::from(count).max(1) };
    let rest = sent.packet.get(HEADER + had..).map(<[u8]>::to_vec).unwrap_or_default();
    *on_its_way = None;
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Option<OnItsWay> {
        Some(OnItsWay { packet: vec![3, 0, 0, 0, b'a', b'b', b'c'], tries: 1, again: Instant::now() })
    }

    #[test]
    fn what_a_bmc_did_not_take_goes_again() {
        let mut way = sent();
        assert_eq!(taken(&mut way, &[1, 0, 0, 0, b'x']), None, "it says something");
        assert_eq!(taken(&mut way, &[0, 2, 3, 0]), None, "it is about another one");
        assert!(way.is_some());
        assert_eq!(taken(&mut way, &[0, 3, 3, 0]), Some(vec![]));
        assert!(way.is_none());
        assert_eq!(taken(&mut sent(), &[0, 3, 1, 0]), Some(b"bc".to_vec()));
        assert_eq!(taken(&mut sent(), &[0, 3, 0, NOT_TAKEN]), Some(b"abc".to_vec()));
        assert_eq!(taken(&mut sent(), &[0, 3]), None);
    }
}
