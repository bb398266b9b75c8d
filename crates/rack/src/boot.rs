//! What a machine boots that asks for it: the region's word, or the document's while the region is away.

use crate::Rack;
use crate::board::Segment;
use crate::mac::Mac;
use base::Micros;
use base::doc::rack::{Boot, BootAnswer, BootQuestion, HTTP_PORT, LiveSystem, Stranger};
use std::net::IpAddr;

/// Who asks, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    pub mac: Mac,
    pub uuid: String,
    /// As DHCP's option 93 says it.
    pub arch: u16,
    pub address: IpAddr,
    /// Our address to which it spoke.
    pub rack: IpAddr,
}

/// What it gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// The live system with this kernel command line.
    Live { live: LiveSystem, cmdline: String },
    /// Its own disk.
    Local,
    /// Nothing; it should be off.
    Off,
    /// It should ask again: why.
    Later(String),
    /// Nobody knows it and strangers are not welcome.
    Nothing,
}

/// `http://…` of the rack as a machine writes it.
pub fn base_url(rack: IpAddr) -> String {
    match rack {
        IpAddr::V4(a) => format!("http://{a}:{HTTP_PORT}"),
        IpAddr::V6(a) => format!("http://[{a}]:{HTTP_PORT}"),
    }
}

/// Decides, and remembers what was decided for the report.
pub async fn plan(rack: &Rack, segment: &Segment, asker: &Asker) -> Plan {
    let view = segment.view();
    if view.ignores(asker.mac) {
        return Plan::Nothing;
    }
    let card = view.card(asker.mac);
    if card.is_none() {
        let now = Micros::now();
        let stranger = Stranger {
            segment: segment.id,
            mac: asker.mac.to_string(),
            uuid: asker.uuid.clone(),
            arch: asker.arch,
            address: Some(asker.address),
            first_at: now,
            last_at: now,
        };
        segment.board.stranger(stranger, asker.mac);
        if !view.segment.enlist {
            return Plan::Nothing;
        }
    }
    let question = BootQuestion {
        segment: segment.id,
        mac: asker.mac.to_string(),
        uuid: asker.uuid.clone(),
        arch: asker.arch,
    };
    let answer = match (rack.link.boot(&question).await, card) {
        (Ok(answer), _) => answer,
        (Err(fault), Some(card)) => {
            tracing::warn!(mac = %asker.mac, "the region was not asked, the last document answers: {fault}");
            BootAnswer { machine: Some(card.machine.id), boot: card.machine.boot.clone() }
        }
        (Err(fault), None) => {
            tracing::warn!(mac = %asker.mac, "a stranger has to wait for the region: {fault}");
            return Plan::Later("the region, which knows machines, is away".into());
        }
    };
    let (plan, word) = match answer.boot {
        Boot::Local => (Plan::Local, "local"),
        Boot::Off => (Plan::Off, "off"),
        Boot::Live { token } => match view.live.clone() {
            None => (Plan::Later("the region has no live system: `hanok up` makes one; without it, docs/howto/ha.md says how to name one".into()), ""),
            Some(live) if !rack.cache.has_files([&live.kernel, &live.initrd, &live.efi]) => {
                (Plan::Later("the rack is still fetching the live system".into()), "")
            }
            Some(live) => {
                let own = live.cmdline.trim().to_owned();
                let (url, mac) = (base_url(asker.rack), asker.mac.dashed());
                let cmdline = format!("{own} hanok.url={url} hanok.token={token} BOOTIF=01-{mac}");
                (Plan::Live { live, cmdline: cmdline.trim().to_owned() }, "live")
            }
        },
    };
    if let Some(machine) = answer.machine.filter(|_| !word.is_empty()) {
        segment.board.booted(machine, word);
        rack.seen(machine, (asker.arch != 0).then_some(true));
    }
    plan
}

/// The script for iPXE.
pub fn script(plan: &Plan, asker: &Asker) -> String {
    let base = base_url(asker.rack);
    let again = format!("chain --replace {base}/boot/{}.ipxe", asker.mac.dashed());
    let body = match plan {
        Plan::Live { live, cmdline } => format!(
            "echo Hanok: starting the live system\n\
             kernel {base}/files/{kernel} {cmdline} initrd=live || goto again\n\
             initrd --name live {base}/files/{initrd} || goto again\n\
             boot || goto again\n",
            kernel = live.kernel,
            initrd = live.initrd
        ),
        Plan::Local => "echo Hanok: this machine starts from its own disk\n\
             iseq ${platform} pcbios || exit 1\n\
             sanboot --no-describe --drive 0x80 || exit 1\n"
            .to_owned(),
        Plan::Off => "echo Hanok: this machine should be off\npoweroff || sleep 30\n".to_owned(),
        Plan::Later(why) => format!("echo Hanok: please wait, {why}\nsleep 5\n"),
        Plan::Nothing => "echo Hanok: nobody knows this machine here\nexit 1\n".to_owned(),
    };
    format!("#!ipxe\n{body}:again\nsleep 2\n{again} || goto again\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker() -> Asker {
        Asker {
            mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
            uuid: String::new(),
            arch: 0,
            address: "10.1.0.9".parse().unwrap(),
            rack: "10.1.0.1".parse().unwrap(),
        }
    }

    #[test]
    fn scripts_say_what_to_do() {
        let live =
            LiveSystem { kernel: "aa".into(), initrd: "bb".into(), efi: "cc".into(), cmdline: String::new() };
        let plan = Plan::Live { live, cmdline: "quiet hanok.token=t".into() };
        let text = script(&plan, &asker());
        assert!(text.starts_with("#!ipxe\n"));
        assert!(text.contains("kernel http://10.1.0.1:5248/files/aa quiet hanok.token=t initrd=live"));
        let wait = script(&Plan::Later("x".into()), &asker());
        assert!(wait.contains("chain --replace http://10.1.0.1:5248/boot/52-54-00-00-00-01.ipxe"));
        assert!(!script(&Plan::Local, &asker()).contains("kernel"));
    }
}
