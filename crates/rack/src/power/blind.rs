//! Machines whose power nothing can read: those that are woken over the network, and those that a person
//! switches. Somebody's word counts, and that a machine was seen to boot; the reason says what a person should do.

use super::plan::Kept;
use super::queue::keep;
use super::trouble::Trouble;
use super::{Shared, wake};
use base::MachineId;
use base::doc::rack::{Bmc, BootFrom, PowerOrder};
use std::time::Duration;

/// Until somebody says something, or the machine boots; either wakes the queue.
const QUIET: Duration = Duration::from_secs(60);
/// Packets are sent after 2, 4, 8, … seconds, then every minute.
const FIRST: Duration = Duration::from_secs(2);
/// A machine that was sent so many and was not seen has its waking off.
const MANY: u32 = 8;

/// Magic packets sent for the order as it stands.
#[derive(Debug, Default)]
pub(super) struct Blind {
    sent: u32,
}

pub(super) async fn look(
    shared: &Shared,
    id: MachineId,
    bmc: &Bmc,
    order: &PowerOrder,
    blind: &mut Blind,
) -> Result<(Duration, String), Trouble> {
    let (word, arrived, kept, name) = {
        let mut state = shared.state();
        let Some(seat) = state.seats.get_mut(&id) else { return Ok((QUIET, String::new())) };
        (seat.word, std::mem::take(&mut seat.arrived), seat.kept, seat.machine.name.clone())
    };
    let restart = order.cycles > kept.cycles;
    let off_already = order.want == Some(false) && word == Some(false);
    if restart && (arrived || off_already) {
        keep(shared, id, Kept { cycles: order.cycles, ..kept }).await?;
    }
    shared.tell(id, |seat| seat.power = word);
    let restart = restart && !arrived && !off_already;
    let wish = match order.want {
        Some(false) if word != Some(false) => Wish::Off,
        _ if restart && word == Some(false) => Wish::On,
        Some(false) => return Ok((QUIET, String::new())),
        _ if restart => Wish::Restart,
        Some(true) if word != Some(true) => Wish::On,
        _ => return Ok((QUIET, String::new())),
    };
    match bmc {
        Bmc::WakeOnLan { mac } => woken(shared, id, mac, wish, blind).await,
        _ => Ok((QUIET, by_hand(wish, &name, order.boot_from))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    On,
    Off,
    Restart,
}

fn by_hand(wish: Wish, name: &str, from: BootFrom) -> String {
    let from = match from {
        BootFrom::Unset => "",
        BootFrom::Network => ", let it boot from the network",
        BootFrom::Disk => ", let it boot from its disk",
    };
    match wish {
        Wish::On => format!("Please switch {name} on{from}, and say here that it is done."),
        Wish::Off => format!("Please switch {name} off, and say here that it is done."),
        Wish::Restart => format!("Please restart {name}{from}, and say here that it is done."),
    }
}

async fn woken(
    shared: &Shared,
    id: MachineId,
    mac: &str,
    wish: Wish,
    blind: &mut Blind,
) -> Result<(Duration, String), Trouble> {
    if wish == Wish::Off {
        let words = "Wake-on-LAN cannot switch it off: it has to be shut down from its own system, or by hand; then say here that it is off.";
        return Ok((QUIET, words.to_owned()));
    }
    let (interfaces, addresses) = {
        let state = shared.state();
        let nics = state.seats.get(&id).map(|s| s.machine.nics.clone()).unwrap_or_default();
        let addresses = nics.into_iter().filter(|n| n.mac == *mac).flat_map(|n| n.addresses);
        (state.interfaces.clone(), addresses.collect::<Vec<_>>())
    };
    wake::send(mac, &interfaces, &addresses).await?;
    blind.sent = blind.sent.saturating_add(1);
    let pause = FIRST.saturating_mul(1 << (blind.sent - 1).min(8)).min(QUIET);
    let words = match wish {
        Wish::Restart => format!(
            "Wake-on-LAN cannot restart it: it has to go down from its own system, or by hand; it is woken ({mac}), and shows when it boots from the network."
        ),
        _ if blind.sent >= MANY => format!(
            "It was sent magic packets ({mac}) for minutes and did not boot from the network: switch Wake-on-LAN on in its firmware, or press its button."
        ),
        _ => format!("It is sent magic packets ({mac}), and shows when it boots from the network."),
    };
    Ok((pause, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_what_to_do() {
        assert_eq!(
            by_hand(Wish::On, "pc3", BootFrom::Network),
            "Please switch pc3 on, let it boot from the network, and say here that it is done."
        );
    }
}
