//! A drive's own erase: NVMe format (NVM Express, Format NVM) and ATA security erase (ACS-4, 7.41). It reaches what
//! writing over does not: spare and remapped blocks of flash.

use base::doc::live::{DiskFacts, DiskKind};
use base::{Fault, Result};
use std::process::Command;

/// Set for the time of the erase only. A drive that lost its power meanwhile is found locked with it, and unlocked.
const PASSWORD: &str = "hanok";

/// What the drive did to itself; none: it has no such thing, or refused.
///
/// # Errors
/// `Unavailable` for a drive that is locked and stays so: nothing else erases it either.
pub fn own_erase(facts: &DiskFacts) -> Result<Option<&'static str>> {
    let device = format!("/dev/{}", facts.name);
    match facts.kind {
        DiskKind::Nvme => Ok(nvme(&device)),
        DiskKind::Ssd | DiskKind::Hdd if facts.name.starts_with("sd") => ata("hdparm", &device),
        _ => Ok(None),
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

fn ata(hdparm: &str, device: &str) -> Result<Option<&'static str>> {
    let look = || run(&[hdparm, "-I", device]).map(|said| Security::parse(&said));
    let order = |what| run(&[hdparm, "--user-master", "u", what, PASSWORD, device]);
    let Some(mut security) = look() else { return Ok(None) };
    if security.locked {
        // While it is locked it takes no order about its password but this one.
        let _ = order("--security-unlock");
        let _ = order("--security-disable");
        match look() {
            Some(now) if !now.locked => security = now,
            _ => return Err(locked(device)),
        }
    }
    if !security.supported || security.frozen || order("--security-set-pass").is_none() {
        return Ok(None);
    }
    let (erase, method) = if security.enhanced {
        ("--security-erase-enhanced", "ata enhanced secure erase")
    } else {
        ("--security-erase", "ata secure erase")
    };
    let done = order(erase);
    if done.is_none() {
        // It is not left with a password that nobody else knows.
        let _ = order("--security-disable");
    }
    Ok(done.map(|_| method))
}

fn locked(device: &str) -> Fault {
    Fault::unavailable(format!(
        "The disk {} is locked with a password that is not known here, and can be neither read nor written. Unlock it \
         where it was locked, or take it out.",
        device.trim_start_matches("/dev/")
    ))
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

    /// A drive that keeps its state in a file, and writes down the orders that it was given.
    const HDPARM: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
if [ "$1" = -I ]; then
    echo 'Security:'
    printf '\t\tsupported\n\t\tenabled\n'
    [ -e locked ] && printf '\t\tlocked\n' || printf '\tnot\tlocked\n'
    exit 0
fi
echo "$3" >> orders
case "$3" in
    --security-unlock) [ "$4" = "$(cat locked)" ] && rm locked ;;
    *) [ ! -e locked ] ;;
esac
"#;

    #[test]
    fn a_drive_whose_erase_was_interrupted_is_unlocked_first() {
        for (password, opens) in [(PASSWORD, true), ("another", false)] {
            let dir = tempfile::tempdir().unwrap();
            let hdparm = dir.path().join("hdparm");
            std::fs::write(&hdparm, HDPARM).unwrap();
            std::fs::set_permissions(&hdparm, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            std::fs::write(dir.path().join("locked"), password).unwrap();
            let outcome = ata(hdparm.to_str().unwrap(), "/dev/sdx");
            let orders = std::fs::read_to_string(dir.path().join("orders")).unwrap();
            let orders: Vec<&str> = orders.lines().map(|o| o.trim_start_matches("--security-")).collect();
            if opens {
                assert_eq!(outcome.unwrap(), Some("ata secure erase"));
                assert_eq!(orders, ["unlock", "disable", "set-pass", "erase"]);
            } else {
                let words = outcome.unwrap_err().message;
                assert!(words.contains("sdx is locked with a password"), "{words}");
                assert_eq!(orders, ["unlock", "disable"]);
            }
        }
    }
}
