//! IPMI 2.0 over RMCP+ ("lanplus"): a small client of our own.
//!
//! The crate ruipmi (0.6.2) was tried and does not hold: it speaks to port 623 only, reads past the end of short
//! packets (a panic that anybody on the network can cause), takes any packet that comes for the answer, loses
//! the session's beginning with one lost datagram, and says "auth failed" for an unknown user and a wrong
//! password alike. `ipmitool` opens a session for each command and says "unable to establish" for everything.
//!
//! A session is kept while there is something to do and given back afterwards: BMCs have a handful.

mod session;
mod sol;
mod suite;
mod wire;

use super::quirks::{self, Quirks};
use super::trouble::Trouble;
use base::doc::rack::BootFrom;
use bytes::Bytes;
use session::{Fail, Session};
use sol::Shut;
pub(super) use sol::Sol;
use std::time::Duration;
use suite::Suite;
use tokio::sync::mpsc;

const USUAL_PORT: u16 = 623;
/// BMCs forget a session that was not used for a minute; it is not trusted for so long.
const FRESH: Duration = Duration::from_secs(30);

const CHASSIS: u8 = 0;
const STATUS: u8 = 1;
const CONTROL: u8 = 2;
const SET_BOOT: u8 = 8;
const APPLICATION: u8 = 6;
const DEVICE_ID: u8 = 1;

/// What chassis control does (IPMI 2.0, 28.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Off = 0,
    On = 1,
    Soft = 5,
}

pub(super) struct Ipmi {
    address: String,
    port: u16,
    user: String,
    password: String,
    /// What is offered, the best first; after the first session only what was taken.
    suites: Vec<Suite>,
    /// The document asks for a suite that is not known here.
    strange_suite: Option<u8>,
    session: Option<Session>,
    quirks: Option<Quirks>,
}

impl Ipmi {
    pub fn new(address: &str, port: u16, user: &str, password: &str, cipher: Option<u8>) -> Ipmi {
        let asked = cipher.map(Suite::number);
        Ipmi {
            address: address.to_owned(),
            port: if port == 0 { USUAL_PORT } else { port },
            user: user.to_owned(),
            password: password.to_owned(),
            suites: match asked {
                Some(suite) => suite.into_iter().collect(),
                None => vec![Suite::Seventeen, Suite::Three],
            },
            strange_suite: cipher.filter(|_| asked == Some(None)),
            session: None,
            quirks: None,
        }
    }

    pub fn quirks(&self) -> Quirks {
        self.quirks.unwrap_or(quirks::USUAL)
    }

    pub async fn read(&mut self) -> Result<bool, Trouble> {
        let (code, data) = self.ask(CHASSIS, STATUS, &[]).await?;
        match data.first() {
            Some(state) if code == 0 => Ok(state & 1 == 1),
            _ => Err(self.refused("tell whether the machine is on", code)),
        }
    }

    pub async fn on(&mut self) -> Result<(), Trouble> {
        self.control(Control::On, "switch the machine on").await
    }

    pub async fn off(&mut self) -> Result<(), Trouble> {
        self.control(Control::Off, "switch the machine off").await
    }

    pub async fn soft(&mut self) -> Result<(), Trouble> {
        self.control(Control::Soft, "ask the machine to shut down").await
    }

    /// Boot flags (IPMI 2.0, table 28-14), between the marks that a set is in progress and complete.
    pub async fn boot(&mut self, from: BootFrom, efi: bool) -> Result<(), Trouble> {
        const IN_PROGRESS: u8 = 0;
        const CLEARING: u8 = 3;
        const FLAGS: u8 = 5;
        /// Firmware may take longer than the minute after which the BMC would forget the flags.
        const NOT_AFTER_A_MINUTE: u8 = 0x08;
        const VALID: u8 = 0x80;
        const LASTING: u8 = 0x40;
        const EFI: u8 = 0x20;
        let quirks = self.quirks();
        let device = match from {
            BootFrom::Unset => return Ok(()),
            BootFrom::Network => 1,
            BootFrom::Disk if efi => quirks.efi_disk,
            BootFrom::Disk => 2,
        };
        let lasting = if quirks.lasting_boot { LASTING } else { 0 };
        let flags = VALID | lasting | if efi { EFI } else { 0 };
        // Not every BMC knows the marks and the clock, and none needs them.
        let _ = self.ask(CHASSIS, SET_BOOT, &[IN_PROGRESS, 1]).await?;
        let _ = self.ask(CHASSIS, SET_BOOT, &[CLEARING, NOT_AFTER_A_MINUTE]).await?;
        let (code, _) = self.ask(CHASSIS, SET_BOOT, &[FLAGS, flags, device << 2, 0, 0, 0]).await?;
        let _ = self.ask(CHASSIS, SET_BOOT, &[IN_PROGRESS, 0]).await?;
        if code == 0 { Ok(()) } else { Err(self.refused("set where the machine boots from", code)) }
    }

    /// The serial port, in a session of its own.
    pub async fn serial(&mut self) -> Result<Sol, Trouble> {
        self.open().await.map_err(|fail| self.trouble(&fail))?;
        let Some(session) = self.session.take() else { return Err(self.trouble(&Fail::Odd)) };
        Sol::activate(session).await.map_err(|shut| self.shut(&shut))
    }

    /// Passes characters both ways until `typed` ends, `said` is closed, or the BMC is gone.
    pub async fn talk(
        &self,
        sol: Sol,
        typed: mpsc::Receiver<Bytes>,
        said: mpsc::Sender<Bytes>,
    ) -> Result<(), Trouble> {
        sol.run(typed, said).await.map_err(|shut| self.shut(&shut))
    }

    /// Why there is no console (completion codes: IPMI 2.0, table 24-2).
    fn shut(&self, shut: &Shut) -> Trouble {
        let bmc = &self.address;
        match shut {
            Shut::Session(fail) => self.trouble(fail),
            Shut::Ended => Trouble::Unable(format!("The BMC {bmc} has ended the console.")),
            Shut::Refused(0x80) => {
                Trouble::Unable(format!("The console of the BMC {bmc} is open elsewhere and not let go of."))
            }
            Shut::Refused(0x81) => {
                Trouble::Unable(format!("Serial over LAN is off at the BMC {bmc}; switch it on there."))
            }
            Shut::Refused(0xd4 | 0x86) => Trouble::Refused(format!(
                "The BMC {bmc} does not let user {} use Serial over LAN.",
                self.user
            )),
            Shut::Refused(code) => self.refused("open the serial console", *code),
        }
    }

    /// Gives the session back.
    pub async fn rest(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    async fn control(&mut self, control: Control, what: &str) -> Result<(), Trouble> {
        /// The machine is not in a state for it: most often it is there already, and a look will tell.
        const NOT_NOW: u8 = 0xd5;
        match self.ask(CHASSIS, CONTROL, &[control as u8]).await? {
            (0 | NOT_NOW, _) => Ok(()),
            (code, _) => Err(self.refused(what, code)),
        }
    }

    /// One command. What a session that had been idle does not answer is asked again in a new one: the BMC may
    /// have forgotten it.
    async fn ask(&mut self, function: u8, command: u8, data: &[u8]) -> Result<(u8, Vec<u8>), Trouble> {
        if self.session.as_ref().is_some_and(|s| s.last_used.elapsed() > FRESH) {
            self.rest().await;
        }
        let reused = self.session.is_some();
        match self.ask_in_session(function, command, data).await {
            Err(Fail::Silent | Fail::Closed) if reused => {
                self.session = None;
                self.ask_in_session(function, command, data).await
            }
            other => other,
        }
        .map_err(|fail| {
            self.session = None;
            self.trouble(&fail)
        })
    }

    async fn ask_in_session(
        &mut self,
        function: u8,
        command: u8,
        data: &[u8],
    ) -> Result<(u8, Vec<u8>), Fail> {
        if self.session.is_none() {
            self.open().await?;
        }
        let Some(session) = self.session.as_mut() else { return Err(Fail::Odd) };
        session.ask(function, command, data).await
    }

    async fn open(&mut self) -> Result<(), Fail> {
        let name = self.address.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((name, self.port)).await;
        let to = found.ok().and_then(|mut all| all.next()).ok_or(Fail::Socket("no such name".to_owned()))?;
        let (mut session, suite) = Session::open(to, &self.user, &self.password, &self.suites).await?;
        self.suites = vec![suite];
        if self.quirks.is_none() {
            let (code, data) = session.ask(APPLICATION, DEVICE_ID, &[]).await?;
            self.quirks = Some(match data.as_slice() {
                [_, _, _, _, _, _, m0, m1, m2, p0, p1, ..] if code == 0 => {
                    let maker = u32::from_le_bytes([*m0, *m1, m2 & 0x0f, 0]);
                    quirks::of(maker, u16::from_le_bytes([*p0, *p1]))
                }
                _ => quirks::USUAL,
            });
        }
        self.session = Some(session);
        Ok(())
    }

    fn trouble(&self, fail: &Fail) -> Trouble {
        let (bmc, port, user) = (&self.address, self.port, &self.user);
        match fail {
            Fail::Silent => Trouble::Silent(format!(
                "The BMC {bmc} does not answer on UDP {port}; is it plugged in, and is IPMI over LAN on?"
            )),
            Fail::Mute => Trouble::Refused(format!(
                "The BMC {bmc} falls silent when user {user} logs in: is there that user, and may it log in over the network?"
            )),
            Fail::Closed => Trouble::Silent(format!(
                "Nothing listens on UDP {port} of {bmc}; is this the BMC's address, and is IPMI over LAN on?"
            )),
            Fail::Socket(why) => Trouble::Silent(format!("The BMC {bmc} cannot be reached: {why}.")),
            Fail::Old => Trouble::Unable(format!(
                "The BMC {bmc} speaks IPMI 1.5 only, which sends passwords in ways that can be broken; switch IPMI 2.0 on."
            )),
            Fail::SecondKey => Trouble::Refused(format!(
                "The BMC {bmc} refuses the password of user {user}, or wants a key (K_g) besides; clear that key."
            )),
            Fail::Suite => match self.strange_suite {
                Some(number) => Trouble::Unable(format!(
                    "Cipher suite {number} is not spoken here; 17 and 3 are, or leave it open."
                )),
                None => Trouble::Unable(format!(
                    "The BMC {bmc} takes no cipher suite that was offered ({}); enable 17 or 3 there.",
                    self.suite_numbers()
                )),
            },
            Fail::User => Trouble::Refused(format!(
                "The BMC {bmc} knows no user {user} that may log in over the network."
            )),
            Fail::Password => Trouble::Refused(format!("The BMC {bmc} refuses the password of user {user}.")),
            Fail::Privilege => Trouble::Refused(format!(
                "The BMC {bmc} does not let user {user} switch power; make it an operator there."
            )),
            Fail::Full => Trouble::Unable(format!(
                "All sessions of the BMC {bmc} are taken; it frees those that are idle after a minute."
            )),
            Fail::Status(status) => {
                Trouble::Unable(format!("The BMC {bmc} refuses the session (RMCP+ status 0x{status:02x})."))
            }
            Fail::Odd => Trouble::Unable(format!("The BMC {bmc} answers what is no IPMI 2.0.")),
        }
    }

    fn suite_numbers(&self) -> String {
        let numbers = self.suites.iter().map(|s| if *s == Suite::Three { "3" } else { "17" });
        numbers.collect::<Vec<_>>().join(" and ")
    }

    /// Completion codes (IPMI 2.0, table 5-2).
    fn refused(&self, what: &str, code: u8) -> Trouble {
        let bmc = &self.address;
        match code {
            0xc1 | 0xcc | 0x80 => {
                Trouble::Unknown(format!("The BMC {bmc} does not know how to {what} (code 0x{code:02x})."))
            }
            0xc0 => Trouble::Unable(format!("The BMC {bmc} is busy and did not {what}.")),
            0xd4 => Trouble::Refused(format!(
                "The BMC {bmc} does not let user {} {what}; make it an operator there.",
                self.user
            )),
            code => Trouble::Unable(format!("The BMC {bmc} did not {what} (code 0x{code:02x}).")),
        }
    }
}
