//! A drive's own erase: NVMe format (NVM Express, Format NVM) and ATA security erase (ACS-4, 7.41). It reaches what
//! writing over does not: spare and remapped blocks of flash.

use base::doc::live::{DiskFacts, DiskKind};
use std::process::Command;

/// Set for the time of the erase only. A drive that lost power meanwhile is found locked with it and unlocked.
const PASSWORD: &str = "hanok";

/// What the drive did to itself; none: it has no such thing, or refused.
pub fn own_erase(facts: &DiskFacts) -> Option<&'static str> {
    let device = format!("/dev/{}", facts.name);
    match facts.kind {
        DiskKind::Nvme => nvme(&device),
        DiskKind::Ssd | DiskKind::Hdd if facts.name.starts_with("sd") => ata(&device),
        _ => None,
    }
}

fn nvme(device: &str) -> Option<&'static str> {
    // 1: user data; 2: the key only, where all is encrypted.
    for (setting, method) in [("--ses=2", "nvme crypto erase"), ("--ses=1", "nvme format")] {
        if (setting != "--ses=2" || nvme_can_crypt(device))
            && run(&["nvme", "format", device, setting, "--force"]).is_some()
        {
            return Some(method);
        }
    }
    None
}

/// Bit 2 of FNA, and a promise that the key is for all (bit 1 clear or one name space).
fn nvme_can_crypt(device: &str) -> bool {
    let text = run(&["nvme", "id-ctrl", device, "-o", "json"]).unwrap_or_default();
    let fna = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|v| v["fna"].as_u64());
    fna.is_some_and(|f| f & 4 != 0)
}

fn ata(device: &str) -> Option<&'static str> {
    let said = run(&["hdparm", "-I", device])?;
    let security = Security::parse(&said);
    if security.locked {
        run(&["hdparm", "--user-master", "u", "--security-disable", PASSWORD, device])?;
    }
    if !security.supported || security.frozen {
        return None;
    }
    run(&["hdparm", "--user-master", "u", "--security-set-pass", PASSWORD, device])?;
    let (order, method) = if security.enhanced {
        ("--security-erase-enhanced", "ata enhanced secure erase")
    } else {
        ("--security-erase", "ata secure erase")
    };
    let done = run(&["hdparm", "--user-master", "u", order, PASSWORD, device]);
    if done.is_none() {
        // It is not left with a password that nobody else knows.
        let _ = run(&["hdparm", "--user-master", "u", "--security-disable", PASSWORD, device]);
    }
    done.map(|_| method)
}

#[derive(Debug, PartialEq, Eq)]
struct Security {
    supported: bool,
    locked: bool,
    frozen: bool,
    enhanced: bool,
}

impl Security {
    /// The part `Security:` of `hdparm -I`: a line `\tnot\tlocked` or `\t\tlocked` each.
    fn parse(text: &str) -> Security {
        let part = text.split_once("Security:").map(|(_, p)| p).unwrap_or_default();
        let is =
            |word: &str| part.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).any(|w| w == [word]);
        Security {
            supported: is("supported"),
            locked: is("locked"),
            frozen: is("frozen"),
            enhanced: part.lines().any(|l| l.split_whitespace().eq(["supported:", "enhanced", "erase"])),
        }
    }
}

/// What it printed, if it went well. (How long an erase takes, the drive knows: hours with what spins.)
fn run(words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hdparm_says_of_security() {
        let text = "Commands/features:\n\tfrozen\nSecurity: \n\tMaster password revision code = 65534\n\t\tsupported\n\tnot\tenabled\n\tnot\tlocked\n\t\tfrozen\n\tnot\texpired: security count\n\t\tsupported: enhanced erase\n\t2min for SECURITY ERASE UNIT.\n";
        let want = Security { supported: true, locked: false, frozen: true, enhanced: true };
        assert_eq!(Security::parse(text), want);
        let none = Security { supported: false, locked: false, frozen: false, enhanced: false };
        assert_eq!(Security::parse("no such part"), none);
    }
}
