//! The serial port behind a BMC.

use super::ipmi::{Ipmi, Sol};
use base::doc::rack::Bmc;
use bytes::Bytes;
use tokio::sync::mpsc;

/// A way to it that is open.
pub(crate) struct Serial {
    ipmi: Ipmi,
    sol: Sol,
}

impl Serial {
    /// # Errors
    /// Words for who waits.
    pub async fn open(bmc: &Bmc) -> Result<Serial, String> {
        let Bmc::Ipmi { address, port, user, password, cipher } = bmc else {
            return Err("This machine's BMC has no serial console that is spoken here (IPMI has).\r\n".into());
        };
        let mut ipmi = Ipmi::new(address, *port, user, password, *cipher);
        let sol = ipmi.serial().await.map_err(|t| format!("{}\r\n", t.words()))?;
        Ok(Serial { ipmi, sol })
    }

    /// Passes characters both ways until one side ends.
    ///
    /// # Errors
    /// Words for who looks.
    pub async fn run(self, typed: mpsc::Receiver<Bytes>, said: mpsc::Sender<Bytes>) -> Result<(), String> {
        let Serial { ipmi, sol } = self;
        ipmi.talk(sol, typed, said).await.map_err(|t| format!("\r\n{}\r\n", t.words()))
    }
}
