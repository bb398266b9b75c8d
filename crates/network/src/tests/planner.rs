//! The address planner, on its own.

use crate::plan::*;
use ipnet::IpNet;
use proptest::prelude::*;
use std::net::IpAddr;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn text(pools: &[Range], like: &IpNet) -> String {
    let one = |(a, b): &Range| format!("{}-{}", addr(*a, like), addr(*b, like));
    pools.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn default_pools_leave_out_what_no_port_may_have() {
    for (cidr, gateway, pools) in [
        ("10.0.0.0/24", Some("10.0.0.1"), "10.0.0.2-10.0.0.254"),
        ("10.0.0.0/24", Some("10.0.0.9"), "10.0.0.1-10.0.0.8 10.0.0.10-10.0.0.254"),
        ("10.0.0.0/24", None, "10.0.0.1-10.0.0.254"),
        ("10.0.0.0/30", Some("10.0.0.2"), "10.0.0.1-10.0.0.1"),
        ("10.0.0.0/31", Some("10.0.0.0"), "10.0.0.1-10.0.0.1"),
        ("2001:db8::/64", Some("2001:db8::1"), "2001:db8::2-2001:db8::ffff:ffff:ffff:ffff"),
    ] {
        let gateway: Option<IpAddr> = gateway.map(|g| g.parse().unwrap());
        assert_eq!(text(&default_pools(&net(cidr), gateway), &net(cidr)), pools, "{cidr}");
    }
}

#[test]
fn addresses_that_guests_make_themselves() {
    let a = eui64(&net("2001:db8:1::/64"), "fa:16:3e:01:02:03").unwrap();
    assert_eq!(a.to_string(), "2001:db8:1:0:f816:3eff:fe01:203");
    assert_eq!(eui64(&net("10.0.0.0/24"), "fa:16:3e:01:02:03"), None);
    assert_eq!(host_name("10.0.0.5".parse().unwrap()), "host-10-0-0-5");
    assert_eq!(normal_mac("FA-16-3E-00-00-01").as_deref(), Some("fa:16:3e:00:00:01"));
    for bad in
        ["", "fa:16:3e:00:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", "fa:16:3e:00:00:1g", "a:b:c:d:e:f"]
    {
        assert_eq!(normal_mac(bad), None, "{bad}");
    }
}

prop_compose! {
    fn subnet()(v6 in any::<bool>(), base in any::<u128>(), len in 8_u8..=30) -> IpNet {
        let net = if v6 {
            IpNet::new(IpAddr::V6(base.into()), len + 90)
        } else {
            IpNet::new(IpAddr::V4(u32::try_from(base & 0xffff_ffff).unwrap().into()), len)
        };
        net.unwrap().trunc()
    }
}

proptest! {
    #[test]
    fn picks_stay_in_the_pools_and_off_the_gateway(net in subnet(), at in any::<u128>(), random in any::<u64>()) {
        let (first, last) = usable(&net);
        let gateway = addr(first + at % (last - first + 1), &net);
        let pools = default_pools(&net, Some(gateway));
        if let Some(n) = pick(&pools, random) {
            prop_assert!((first..=last).contains(&n));
            prop_assert_ne!(addr(n, &net), gateway);
            prop_assert!(net.contains(&addr(n, &net)));
        }
        prop_assert_eq!(size(&pools), last - first);
    }

    #[test]
    fn keys_sort_as_numbers_do(a in any::<u32>(), b in any::<u32>(), x in any::<u128>(), y in any::<u128>()) {
        let four = |n: u32| key(IpAddr::V4(n.into()));
        let six = |n: u128| key(IpAddr::V6(n.into()));
        prop_assert_eq!(four(a).cmp(&four(b)), a.cmp(&b));
        prop_assert_eq!(six(x).cmp(&six(y)), x.cmp(&y));
    }

    #[test]
    fn a_round_holds_every_address_once(
        lens in proptest::collection::vec((1_u128..40, 1_u128..40), 1..6), start in 0_u128..400
    ) {
        let mut pools = Vec::new();
        let mut at = 0;
        for (gap, len) in lens {
            pools.push((at + gap, at + gap + len - 1));
            at += gap + len;
        }
        let flat = |r: &[Range]| r.iter().flat_map(|(a, b)| *a..=*b).collect::<Vec<_>>();
        let round = flat(&round_from(&pools, start));
        let mut sorted = round.clone();
        sorted.sort_unstable();
        prop_assert_eq!(&sorted, &flat(&pools));
        for n in 0..size(&pools) {
            prop_assert_eq!(nth(&pools, n), Some(sorted[usize::try_from(n).unwrap()]));
        }
        prop_assert_eq!(nth(&pools, size(&pools)), None);
        if let Some(first) = sorted.iter().find(|n| **n >= start) {
            prop_assert_eq!(&round[0], first);
        }
    }

    #[test]
    fn the_first_gap_is_the_first(used in proptest::collection::btree_set(10_u128..40, 0..30)) {
        let list: Vec<u128> = used.iter().copied().collect();
        let expected = (10..40).find(|n| !used.contains(n));
        prop_assert_eq!(first_gap((10, 39), &list), expected);
    }
}
