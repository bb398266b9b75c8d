//! Brings the kernel from what it holds to a [`Plan`].
//!
//! What was applied last is remembered per namespace, so an unchanged one costs nothing. After a
//! restart, or when something failed, a namespace is looked at instead. Each namespace is handled on
//! its own: a failure is reported and the others go on.

use super::kernel::{self, Kernel, Tool, act};
use super::nat::{self, Moved};
use super::plan::{Plan, SpacePlan};
use super::reason;
use super::rules::{Rules, Table};
use super::sockets;
use super::space::{Kind, Mac, Space, UPLINK, VLAN};
use base::doc::{Problem, Vlan};
use base::names::Prefix;
use base::{PortId, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What was applied last to one namespace.
#[derive(Debug)]
struct Applied {
    space: Space,
    /// `None` when unknown: a look does not read rule sets, they are replaced as a whole.
    rules: Option<Rules>,
}

/// The kernel's state as far as it is known.
#[derive(Debug, Default)]
pub struct Known {
    spaces: BTreeMap<String, Applied>,
    host: Option<Applied>,
    /// Ports that were up after the last success, by namespace.
    up: BTreeMap<String, Vec<PortId>>,
}

/// What one round came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub ports_up: Vec<PortId>,
    pub problems: Vec<Problem>,
    /// Namespaces that were made in this round: servers inside must start anew.
    pub fresh: BTreeSet<String>,
    /// Namespaces that hold nothing, because a NIC is not to be had.
    pub bare: BTreeSet<String>,
}

pub struct Converge<'a> {
    pub kernel: &'a Kernel,
    pub prefix: &'a Prefix,
}

impl Converge<'_> {
    pub fn run(&self, plan: &Plan, known: &mut Known) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(e) = self.spaces(plan, known, &mut outcome) {
            let problem =
                |p: &SpacePlan| Problem { kind: p.kind.into(), id: p.id.clone(), reason: reason(&e) };
            outcome.problems.extend(plan.spaces.iter().map(problem));
            return outcome;
        }
        let refused = self.devices(plan, known);
        if let Err(e) = self.host(plan, known) {
            outcome.problems.push(Problem { kind: "host".into(), id: String::new(), reason: reason(&e) });
        }
        for one in &plan.spaces {
            outcome.problems.extend(one.problems.iter().cloned());
            if let Some(reason) = refused.get(&one.ns) {
                let (kind, id, reason) = (one.kind.into(), one.id.clone(), reason.clone());
                outcome.problems.push(Problem { kind, id, reason });
                outcome.bare.insert(one.ns.clone());
                continue;
            }
            // Of both tries, as the first may have loaded the rules.
            let had = known.spaces.get(&one.ns).and_then(|a| a.rules.as_ref());
            let moved = had.map(|had| nat::moved(had, &one.rules));
            let mut done = self.space(one, known, moved.as_deref());
            if done.is_err() {
                // What is remembered was wrong, or something was in the way: look, and try once more.
                known.spaces.remove(&one.ns);
                done = self.space(one, known, moved.as_deref());
            }
            match done {
                Ok(()) => {
                    known.up.insert(one.ns.clone(), one.ports.clone());
                }
                Err(e) => {
                    known.spaces.remove(&one.ns);
                    let (kind, id, reason) = (one.kind.into(), one.id.clone(), reason(&e));
                    outcome.problems.push(Problem { kind, id, reason });
                }
            }
            let up = known.up.get(&one.ns).into_iter().flatten();
            outcome.ports_up.extend(up.filter(|p| one.ports.contains(p)));
        }
        outcome
    }

    /// Namespaces: those that should not be go, those that are missing are made.
    fn spaces(&self, plan: &Plan, known: &mut Known, outcome: &mut Outcome) -> Result<()> {
        let wanted: BTreeSet<&str> = plan.spaces.iter().map(|p| p.ns.as_str()).collect();
        let present = self.namespaces()?;
        known.spaces.retain(|ns, _| present.contains(ns) && wanted.contains(ns.as_str()));
        known.up.retain(|ns, _| present.contains(ns) && wanted.contains(ns.as_str()));
        // What is in the way of one of them must not stop the others: it is tried again next time.
        let (done, home) = self.remove(present.iter().filter(|ns| !wanted.contains(ns.as_str())));
        if let Err(e) = done {
            tracing::warn!(error = %e, "a namespace that is no longer wanted could not be removed");
        }
        // A NIC comes home switched off, and what lies on it with it: these are looked at again.
        let on = |p: &&SpacePlan| p.vlan.as_ref().is_some_and(|v| home.contains(&v.device));
        for one in plan.spaces.iter().filter(on) {
            known.spaces.remove(&one.ns);
        }
        let missing: Vec<_> = plan.spaces.iter().filter(|p| !present.contains(&p.ns)).collect();
        let lines: Vec<_> = missing.iter().map(|p| act(format!("netns add {}", p.ns))).collect();
        if let Err(e) = self.kernel.batch(Tool::Names, None, &lines) {
            tracing::warn!(error = %e, "a namespace could not be made");
        }
        let made = if missing.is_empty() { BTreeSet::new() } else { self.namespaces()? };
        for one in missing.into_iter().filter(|p| made.contains(&p.ns)) {
            outcome.fresh.insert(one.ns.clone());
            let rules = Some(Rules::default());
            known.spaces.insert(one.ns.clone(), Applied { space: Space::fresh(), rules });
        }
        self.part(plan, known, &outcome.fresh);
        Ok(())
    }

    /// Where one end of a pair of devices went with its namespace, the other end goes too. The kernel
    /// would do it, but only after the last socket inside is closed.
    fn part(&self, plan: &Plan, known: &mut Known, fresh: &BTreeSet<String>) {
        for one in &plan.spaces {
            if one.outside.contains_key(UPLINK) && fresh.contains(&one.ns) {
                known.host = None;
            }
            for (near, outside) in &one.outside {
                let (Some(far), Some(other)) = (&outside.far, &outside.other) else { continue };
                let (ns, widow) = match (fresh.contains(&one.ns), fresh.contains(other)) {
                    (true, false) => (other, far),
                    (false, true) => (&one.ns, near),
                    _ => continue,
                };
                if known.spaces.get(ns).is_none_or(|a| a.space.links.contains_key(widow)) {
                    let line = kernel::remove(format!("link del dev {widow}"));
                    if let Err(e) = self.kernel.batch(Tool::Ip, Some(ns), &[line]) {
                        tracing::warn!(error = %e, %ns, "half a pair of devices could not be removed");
                    }
                    known.spaces.remove(ns);
                }
            }
        }
    }

    fn namespaces(&self) -> Result<BTreeSet<String>> {
        let mut all = kernel::namespaces(&format!("{}-net-", self.prefix))?;
        all.extend(kernel::namespaces(&format!("{}-rtr-", self.prefix))?);
        Ok(all.into_iter().collect())
    }

    /// Removes namespaces; NICs of the host come home first, and are told.
    fn remove<'a>(&self, spaces: impl Iterator<Item = &'a String>) -> (Result<()>, BTreeSet<String>) {
        let (mut lines, mut home) = (Vec::new(), BTreeSet::new());
        for ns in spaces {
            match self.clear(ns) {
                Ok(nics) => home.extend(nics),
                Err(e) => {
                    tracing::warn!(error = %e, %ns, "a namespace could not be cleared before its removal");
                }
            }
            lines.push(kernel::remove(format!("netns del {ns}")));
        }
        (self.kernel.batch(Tool::Names, None, &lines), home)
    }

    fn clear(&self, ns: &str) -> Result<Vec<String>> {
        let inside = Space::look(self.kernel, Some(ns), |_| true)?;
        let going = inside.changes(&Space::fresh(), &self.kernel.home());
        self.kernel.batch(Tool::Ip, Some(ns), &going.devices)?;
        let nics = inside.links.into_iter().filter(|(_, l)| l.kind == Kind::Nic);
        Ok(nics.map(|(name, _)| name).collect())
    }

    /// Why a NIC of the host cannot be lent to a network; `None` when it can.
    fn refusal(&self, device: &str) -> Option<String> {
        let found = self.kernel.look(Tool::Ip, None, &["addr", "show", "dev", device]).unwrap_or_default();
        let Some(link) = found.iter().find(|l| l["ifname"] == device) else {
            return Some(absent(device));
        };
        let own = |a: &&serde_json::Value| a["scope"] == "global";
        let address = link["addr_info"].as_array().into_iter().flatten().find(own)?;
        Some(format!(
            "{device} has this host's own address {}, which would be lost: give the provider network a NIC of \
             its own",
            address["local"].as_str().unwrap_or_default()
        ))
    }

    /// Settings that devices inherit, then the devices that are made from the host's namespace. Answers what
    /// networks cannot be made, by their namespaces, and why.
    fn devices(&self, plan: &Plan, known: &mut Known) -> BTreeMap<String, String> {
        let (mut lines, mut refused) = (Vec::new(), BTreeMap::new());
        for one in &plan.spaces {
            // What fails here fails again, with its reason, where it is needed.
            if self.prepare(one, known).is_err() {
                continue;
            }
            let have = known.spaces.get(&one.ns);
            let has = |device: &str| have.is_some_and(|a| a.space.links.contains_key(device));
            for (device, outside) in one.outside.iter().filter(|(device, _)| !has(device)) {
                if one.space.links.get(device).is_some_and(|l| l.kind == Kind::Nic)
                    && let Some(reason) = self.refusal(device)
                {
                    refused.insert(one.ns.clone(), reason);
                    continue;
                }
                if let (Some(far), None) = (&outside.far, &outside.other) {
                    lines.push(kernel::remove(format!("link del dev {far}")));
                }
                lines.push(act(&outside.command));
            }
        }
        if let Err(e) = self.kernel.batch(Tool::Ip, None, &lines) {
            tracing::warn!(error = %e, "devices between namespaces could not be made");
        }
        for one in &plan.spaces {
            if let Some(vlan) = &one.vlan
                && let Err(reason) = self.tag(one, vlan, plan, known)
            {
                refused.insert(one.ns.clone(), reason);
            }
        }
        refused
    }

    /// Makes the tagged link of a network over its NIC, which may be the host's own, or lent to the untagged network of
    /// the same wire. One that is off is switched on, without IPv6: the host must not take an address from whoever
    /// advertises prefixes there.
    ///
    /// # Errors
    /// Why the network cannot be had here.
    fn tag(&self, one: &SpacePlan, vlan: &Vlan, plan: &Plan, known: &mut Known) -> Result<(), String> {
        let Some(want) = one.space.links.get(VLAN) else { return Ok(()) };
        let found = |known: &Known| known.spaces.get(&one.ns).and_then(|a| a.space.links.get(VLAN)).cloned();
        let mut now = found(known);
        if now.as_ref().is_some_and(|l| l.over != want.over) {
            let line = kernel::remove(format!("link del dev {VLAN}"));
            self.kernel.batch(Tool::Ip, Some(&one.ns), &[line]).map_err(|e| reason(&e))?;
            known.spaces.remove(&one.ns);
            self.prepare(one, known).map_err(|e| reason(&e))?;
            now = None;
        }
        if now.as_ref().is_some_and(|l| l.up && l.mtu == want.mtu) {
            return Ok(());
        }
        let device = &vlan.device;
        let has = |p: &&SpacePlan| p.space.links.get(device).is_some_and(|l| l.kind == Kind::Nic);
        let places = plan.spaces.iter().filter(has).map(|p| Some(p.ns.as_str()));
        let nic = std::iter::once(None).chain(places).find_map(|place| {
            let seen = self.kernel.look(Tool::Ip, place, &["link", "show", "dev", device]).ok()?;
            let nic = seen.first()?;
            let up = nic["flags"].as_array().is_some_and(|f| f.iter().any(|f| f == "UP"));
            Some((place, nic["mtu"].as_u64().unwrap_or(0), up))
        });
        let (place, carries, up) = nic.ok_or_else(|| absent(device))?;
        if let Some(mtu) = want.mtu.filter(|m| u64::from(*m) > carries) {
            return Err(format!(
                "{device} carries packets of at most {carries} bytes, and those of the network have up to {mtu}: raise \
                 the MTU of the NIC, or lower the network's (`openstack network set --mtu {carries} NETWORK`)"
            ));
        }
        let mut lines = Vec::new();
        if !up {
            let quiet = [(format!("net/ipv6/conf/{device}/disable_ipv6"), "1".to_owned())].into();
            self.kernel.sysctls(place, &quiet).map_err(|e| reason(&e))?;
            lines.push(act(format!("link set dev {device} up")));
        }
        if now.is_none() {
            let (ns, segment) = (&one.ns, vlan.segment);
            lines.push(act(format!("link add link {device} name {VLAN} netns {ns} type vlan id {segment}")));
        }
        self.kernel.batch(Tool::Ip, place, &lines).map_err(|e| self.untaggable(vlan, &reason(&e)))
    }

    /// Why a VLAN could not be made.
    fn untaggable(&self, vlan: &Vlan, said: &str) -> String {
        let Vlan { device, segment } = vlan;
        if !self.kernel.makes_vlans(self.prefix) {
            return format!(
                "this host's kernel has no 802.1Q, so it cannot have VLAN {segment} of {device}: load the module 8021q \
                 (`modprobe 8021q`) or start a kernel that has it, and restart the agent"
            );
        }
        if said.contains("exists") {
            return format!(
                "VLAN {segment} of {device} has a device on this host already, which is not ours (`ip -d link show \
                 type vlan` lists them): remove it, or use another VLAN"
            );
        }
        format!("VLAN {segment} of {device} could not be made: {said}")
    }

    fn prepare(&self, one: &SpacePlan, known: &mut Known) -> Result<()> {
        if !known.spaces.contains_key(&one.ns) {
            let space = Space::look(self.kernel, Some(&one.ns), |_| true)?;
            known.spaces.insert(one.ns.clone(), Applied { space, rules: None });
        }
        if let Some(have) = known.spaces.get_mut(&one.ns)
            && have.space.settings != one.space.settings
        {
            self.kernel.sysctls(Some(&one.ns), &one.space.settings)?;
            have.space.settings.clone_from(&one.space.settings);
        }
        Ok(())
    }

    /// One namespace. Filters are loaded after the taps exist and before they come up. What leads elsewhere now is
    /// `moved`; without that, as after a restart, a router's connections are looked at.
    fn space(&self, one: &SpacePlan, known: &mut Known, moved: Option<&[Moved]>) -> Result<()> {
        self.prepare(one, known)?;
        let Some(have) = known.spaces.get_mut(&one.ns) else { return Ok(()) };
        let ns = Some(one.ns.as_str());
        if have.space != one.space {
            let changes = have.space.changes(&one.space, &self.kernel.home());
            self.kernel.batch(Tool::Ip, ns, &changes.devices)?;
            self.kernel.batch(Tool::Tc, ns, &changes.shapes)?;
            self.load(ns, have, &one.rules)?;
            if have.space.device_settings != one.space.device_settings {
                self.kernel.sysctls(ns, &one.space.device_settings)?;
            }
            self.kernel.batch(Tool::Ip, ns, &changes.set)?;
            self.kernel.batch(Tool::Bridge, ns, &changes.forwarding)?;
            if one.kind == "router" {
                self.announce(one, &have.space);
            }
            have.space = one.space.clone();
        }
        self.load(ns, have, &one.rules)?;
        match moved {
            Some(moved) => self.kernel.forget_connections(&one.ns, moved),
            None if one.kind == "router" => {
                let connections = self.kernel.connections(&one.ns, "ipv4")?;
                self.kernel.forget_connections(&one.ns, &nat::strays(&connections, &one.rules))
            }
            None => Ok(()),
        }
    }

    /// Has a tap take what is sent to a MAC, which went elsewhere until now.
    pub fn claim(&self, ns: &str, tap: &str, mac: Mac, known: &mut Known) -> Result<()> {
        // Where nothing is known, the next apply looks and claims as well; a tap that is gone claims nothing.
        let Some(have) = known.spaces.get_mut(ns).filter(|a| a.space.links.contains_key(tap)) else {
            return Ok(());
        };
        let mut want = have.space.clone();
        want.forwarding.retain(|(_, m), _| *m != mac);
        want.forwarding.insert((tap.to_owned(), mac), None);
        let changes = have.space.changes(&want, &self.kernel.home());
        self.kernel.batch(Tool::Bridge, Some(ns), &changes.forwarding)?;
        have.space = want;
        Ok(())
    }

    /// Tells the neighbourhood of a router which addresses it has taken over. Those that listen learn
    /// sooner; the others learn when their entries time out, so a failure is no problem.
    fn announce(&self, one: &SpacePlan, before: &Space) {
        let mac_of = |space: &Space, device: &str| space.links.get(device).and_then(|l| l.mac);
        for entry @ (device, address) in &one.space.addresses {
            let mac = mac_of(&one.space, device);
            if before.addresses.contains(entry) && mac == mac_of(before, device) {
                continue;
            }
            if let (Some(mac), IpAddr::V4(address)) = (mac, address.addr())
                && let Err(e) = sockets::announce(&one.ns, device, mac, address)
            {
                tracing::debug!(error = %e, %address, "an address could not be announced");
            }
        }
    }

    fn load(&self, ns: Option<&str>, have: &mut Applied, want: &Rules) -> Result<()> {
        if let Some(text) = want.text(have.rules.as_ref()).filter(|t| !t.is_empty()) {
            self.kernel.nft(ns, &text)?;
        }
        have.rules = Some(want.clone());
        Ok(())
    }

    /// The host's own namespace, where only devices with our names count.
    fn host(&self, plan: &Plan, known: &mut Known) -> Result<()> {
        let have = match known.host.take() {
            Some(have) => have,
            None => Applied {
                space: Space::look(self.kernel, None, |device| self.is_uplink(device))?,
                rules: None,
            },
        };
        // Devices that were made in this round are not in what is remembered; that is how new looks.
        let changes = have.space.changes(&plan.host, &self.kernel.home());
        if have.space.settings != plan.host.settings {
            self.kernel.sysctls(None, &plan.host.settings)?;
        }
        self.kernel.batch(Tool::Ip, None, &changes.devices)?;
        self.kernel.batch(Tool::Ip, None, &changes.set)?;
        // After a restart the tables may be there without need; naming them makes them go.
        let tables = ["ip", "inet"].map(|f| (format!("{f} {}", self.prefix.host_table()), Table::default()));
        let rules = have.rules.or_else(|| Some(Rules { tables: tables.into() }));
        let mut now = Applied { space: plan.host.clone(), rules };
        self.load(None, &mut now, &plan.host_rules)?;
        known.host = Some(now);
        Ok(())
    }

    fn is_uplink(&self, device: &str) -> bool {
        let rest = device.strip_prefix(&self.prefix.to_string());
        rest.is_some_and(|r| r.len() == 10 && r.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    /// Removes everything of this instance.
    pub fn wipe(&self) -> Result<()> {
        let (spaces, _) = self.remove(self.namespaces()?.iter());
        let nothing = Plan { spaces: vec![], host: Space::default(), host_rules: Rules::default() };
        self.host(&nothing, &mut Known::default()).and(spaces)
    }
}

fn absent(device: &str) -> String {
    format!("this host has no NIC {device}; see physical_networks in its configuration")
}
