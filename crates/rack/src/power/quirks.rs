//! What BMCs do differently, by who made them. One line each, with where it is known from.

use std::time::Duration;

/// How a kind of BMC wants to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quirks {
    /// How long it must rest between off and on, or it loses the second order.
    pub pause: Duration,
    /// A boot override that is good once is lost on the way to the next start: it is set for good.
    pub lasting_boot: bool,
    /// Number of the disk as boot device under UEFI (IPMI 2.0, table 28-14: 2).
    pub efi_disk: u8,
}

/// What IPMI says, and most boards do. Power supplies want a moment without current.
pub(super) const USUAL: Quirks = Quirks { pause: Duration::from_secs(2), lasting_boot: false, efi_disk: 2 };

/// IANA enterprise number, product (0: all), and the quirks.
const TABLE: &[(u32, u16, Quirks)] = &[
    // Simulated BMCs (OpenIPMI's `ipmi_sim` as its manual sets it up) have no supply that must run dry.
    (0x1291, 0xf02, Quirks { pause: Duration::ZERO, ..USUAL }),
    // Supermicro: an override that is good once is not heeded under UEFI by a part of the boards, one that is
    // set for good is; and the disk is device 9 there (OpenStack Ironic treats them so too).
    (10876, 0, Quirks { lasting_boot: true, efi_disk: 9, ..USUAL }),
    (47488, 0, Quirks { lasting_boot: true, efi_disk: 9, ..USUAL }),
];

pub(super) fn of(maker: u32, product: u16) -> Quirks {
    let fits = |(m, p, _): &&(u32, u16, Quirks)| *m == maker && (*p == 0 || *p == product);
    TABLE.iter().find(fits).map_or(USUAL, |(_, _, quirks)| *quirks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_are_found_and_strangers_are_usual() {
        assert!(of(10876, 7).lasting_boot);
        assert_eq!(of(1, 1), USUAL);
    }
}
