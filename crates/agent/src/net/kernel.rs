//! How the datapath talks to the kernel: batches of `ip` and `bridge`, rule sets for `nft`, files
//! under /proc/sys, and whatever must run inside a network namespace.
//!
//! Everything else in this module's parent is data; exchanging the tools for netlink means writing
//! this file anew. No thread stays in a namespace: [`inside`] uses one that ends with the call.
//! Process starts are counted, because an apply that changes nothing must make none.

use super::nat::Moved;
use base::names::Prefix;
use base::{Fault, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where `ip netns` keeps the names of namespaces.
const NAMES: &str = "/run/netns";
/// Daemons are often started without the system directories in their path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A line of a batch. Lines that remove something are forgiven when it is already gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub forgive: bool,
}

pub fn act(text: impl Into<String>) -> Line {
    Line { text: text.into(), forgive: false }
}

pub fn remove(text: impl Into<String>) -> Line {
    Line { text: text.into(), forgive: true }
}

/// The programs that take batches.
#[derive(Debug, Clone, Copy)]
pub enum Tool {
    Ip,
    Bridge,
    /// `tc`: limits of what leaves devices.
    Tc,
    /// `ip netns`: names of namespaces belong to the machine and are written outside of them all.
    Names,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Tool::Ip | Tool::Names => "ip",
            Tool::Bridge => "bridge",
            Tool::Tc => "tc",
        }
    }
}

#[derive(Debug, Default)]
pub struct Kernel {
    starts: AtomicU64,
    /// The namespace that stands for the host's own, where several hosts share a kernel.
    home: Option<String>,
}

impl Kernel {
    #[cfg(test)]
    pub fn at(home: String) -> Self {
        Kernel { home: Some(home), ..Kernel::default() }
    }

    fn place<'a>(&'a self, ns: Option<&'a str>) -> Option<&'a str> {
        ns.or(self.home.as_deref())
    }

    /// The host's own namespace, as `ip link set … netns` takes it.
    pub fn home(&self) -> String {
        self.home.clone().unwrap_or_else(|| std::process::id().to_string())
    }

    /// How many processes have been started so far.
    pub fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    pub fn run(&self, program: &str, args: &[&str], input: &str) -> Result<Output> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        let mut child = Command::new(program)
            .args(args)
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| {
                Fault::unavailable(format!(
                    "The program {program} cannot be started; install it on this host."
                ))
                .because(e)
            })?;
        let mut stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // The batch is written from a thread of its own: the tool may fill its output first.
            scope.spawn(move || {
                if let Some(mut pipe) = stdin.take() {
                    // A tool that stops early closes the pipe; its exit status tells.
                    let _ = pipe.write_all(input.as_bytes());
                }
            });
            Ok(child.wait_with_output()?)
        })
    }

    /// Runs all lines, whether earlier ones fail or not; the error lists what failed.
    pub fn batch(&self, tool: Tool, ns: Option<&str>, lines: &[Line]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let program = tool.program();
        let input: String = lines.iter().map(|l| format!("{}\n", l.text)).collect();
        let place = if matches!(tool, Tool::Names) { None } else { self.place(ns) };
        let mut args = place.map_or(vec![], |ns| vec!["-n", ns]);
        args.extend(["-force", "-batch", "-"]);
        let output = self.run(program, &args, &input)?;
        let failed = failures(lines, &String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            // Lines that were forgiven make the status a failure too, so the words decide.
            Some(_) if failed.is_empty() => Ok(()),
            Some(_) => Err(Fault::internal(failed.join("; "))),
            None => {
                Err(Fault::internal(format!("{program} was ended before it was through: {}", output.status)))
            }
        }
    }

    /// Whether this kernel tags frames (IEEE 802.1Q): it makes a VLAN, whose module it may load for that. What is made
    /// carries no frames and is gone again at once.
    pub fn makes_vlans(&self, prefix: &Prefix) -> bool {
        let (lower, upper) = prefix.probes();
        let lines = [
            remove(format!("link del dev {lower}")),
            act(format!("link add name {lower} type bridge")),
            act(format!("link add link {lower} name {upper} type vlan id 1")),
            remove(format!("link del dev {upper}")),
            remove(format!("link del dev {lower}")),
        ];
        self.batch(Tool::Ip, None, &lines).is_ok()
    }

    /// Loads a rule set as one transaction.
    pub fn nft(&self, ns: Option<&str>, rules: &str) -> Result<()> {
        let load = || self.run("nft", &["-f", "-"], rules);
        let output = match self.place(ns) {
            Some(ns) => inside(ns, load)??,
            None => load()?,
        };
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        Err(Fault::internal(format!("nft: {}", text.lines().next().unwrap_or("failed without a word"))))
    }

    /// Ends the connections through floating addresses in a router's namespace.
    pub fn forget_connections(&self, ns: &str, moved: &[Moved]) -> Result<()> {
        for one in moved {
            let address = one.address.to_string();
            // Its exit status says only whether there were any.
            let forget = |args: &[&str]| inside(ns, || self.run("conntrack", args, ""))?.map(drop);
            match one.port {
                None => {
                    forget(&["-D", "--orig-dst", &address])?;
                    forget(&["-D", "--reply-dst", &address])?;
                }
                Some((protocol, port)) => {
                    forget(&["-D", "-p", protocol, "--orig-dst", &address, "--dport", &port.to_string()])?;
                }
            }
        }
        Ok(())
    }

    /// Writes settings under /proc/sys, given by their paths below it.
    pub fn sysctls(&self, ns: Option<&str>, settings: &BTreeMap<String, String>) -> Result<()> {
        let write = || -> Result<()> {
            for (path, value) in settings {
                let file = format!("/proc/sys/{path}");
                // What is already so is left alone: some kernels offer a setting for reading only.
                if std::fs::read_to_string(&file).is_ok_and(|now| now.trim() == value) {
                    continue;
                }
                std::fs::write(&file, value).map_err(|e| Fault::internal(format!("{file}: {e}")))?;
            }
            Ok(())
        };
        match self.place(ns) {
            Some(ns) => inside(ns, write)?,
            None => write(),
        }
    }

    /// What `ip -j …` or `bridge -j …` print, as a list.
    pub fn look(&self, tool: Tool, ns: Option<&str>, args: &[&str]) -> Result<Vec<Value>> {
        let mut all = vec!["-j"];
        all.extend(args);
        let text = self.ask(tool, ns, &all)?;
        if text.trim().is_empty() {
            return Ok(vec![]);
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// What a tool prints.
    pub fn ask(&self, tool: Tool, ns: Option<&str>, args: &[&str]) -> Result<String> {
        let program = tool.program();
        let mut all = self.place(ns).map_or(vec![], |ns| vec!["-n", ns]);
        all.extend(args);
        let output = self.run(program, &all, "")?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(Fault::internal(format!("{program} {}: {}", all.join(" "), text.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Reads what a batch with `-force` wrote to standard error: the words of an error, then
/// `Command failed -:LINE`. Words without such a line mean that the tool gave up there.
fn failures(lines: &[Line], stderr: &str) -> Vec<String> {
    const GONE: [&str; 8] = [
        "Cannot find device",
        "No such file or directory",
        "No such process",
        "No such device",
        "Cannot assign requested address",
        "Address not found",
        "Cannot delete qdisc with handle of zero",
        "Specified class not found",
    ];
    let mut failed = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for text in stderr.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let Some(number) = text.strip_prefix("Command failed -:") else {
            words.push(text);
            continue;
        };
        let said = words.join(", ");
        words.clear();
        let line = number.parse::<usize>().ok().and_then(|n| lines.get(n.wrapping_sub(1)));
        match line {
            Some(line) if line.forgive && GONE.iter().any(|gone| said.contains(gone)) => {}
            Some(line) => failed.push(format!("{}: {said}", line.text)),
            None => failed.push(said),
        }
    }
    if !words.is_empty() {
        failed.push(format!("the batch ended early: {}", words.join(", ")));
    }
    failed
}

/// Runs `f` on a thread that has entered the namespace and ends afterwards.
pub fn inside<T: Send>(ns: &str, f: impl FnOnce() -> T + Send) -> Result<T> {
    let file = File::open(format!("{NAMES}/{ns}"))
        .map_err(|e| Fault::unavailable(format!("The network namespace {ns} does not exist.")).because(e))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok::<T, std::io::Error>(f())
        });
        match thread.join() {
            Ok(done) => Ok(done?),
            Err(_) => Err(Fault::internal("a thread inside a network namespace panicked")),
        }
    })
}

/// The names of all namespaces that start with `prefix`.
pub fn namespaces(prefix: &str) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(NAMES) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(e.into()),
    };
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    Ok(names.filter(|n| n.starts_with(prefix)).collect())
}

/// `struct ifreq` as TUNSETIFF reads it.
#[repr(C)]
struct TunRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Counters of a device in a namespace, by the kernel's names such as `rx_bytes`.
pub fn counters(ns: &str, name: &str) -> Result<BTreeMap<String, u64>> {
    // As the columns of the table stand: receive, then transmit.
    const COLUMNS: [(usize, &str); 8] = [
        (0, "rx_bytes"),
        (1, "rx_packets"),
        (2, "rx_errors"),
        (3, "rx_dropped"),
        (8, "tx_bytes"),
        (9, "tx_packets"),
        (10, "tx_errors"),
        (11, "tx_dropped"),
    ];
    // Read by the thread that is in the namespace; /sys would show that of whoever mounted it.
    let table = inside(ns, || std::fs::read_to_string("/proc/thread-self/net/dev"))??;
    let line = table.lines().find_map(|l| l.trim_start().strip_prefix(name)?.strip_prefix(':'));
    let line = line.ok_or_else(|| Fault::not_found(format!("There is no device {name}.")))?;
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let known = COLUMNS.into_iter().filter_map(|(i, name)| Some((name.to_owned(), *numbers.get(i)?)));
    Ok(known.collect())
}

const TUNSETIFF: rustix::ioctl::Opcode = 0x4004_54ca;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;

/// Opens an existing tap; frames carry the 10-byte virtio header.
pub fn open_tap(ns: &str, name: &str) -> Result<OwnedFd> {
    let mut request = TunRequest { name: [0; 16], flags: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, rest: [0; 22] };
    if name.len() > 15 || !std::path::Path::new(&format!("{NAMES}/{ns}")).exists() {
        return Err(Fault::unavailable(format!("The tap {name} does not exist yet.")));
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    inside(ns, move || {
        // Without this check TUNSETIFF would make a new device, outside of every filter.
        if !std::path::Path::new(&format!("/proc/sys/net/ipv4/conf/{name}")).exists() {
            return Err(Fault::unavailable(format!("The tap {name} does not exist yet.")));
        }
        let file = File::options().read(true).write(true).open("/dev/net/tun")?;
        #[expect(unsafe_code, reason = "TUNSETIFF takes a struct ifreq, which TunRequest lays out")]
        let done = unsafe {
            rustix::ioctl::ioctl(&file, rustix::ioctl::Updater::<TUNSETIFF, TunRequest>::new(&mut request))
        };
        done.map_err(|e| Fault::unavailable(format!("The tap {name} cannot be opened.")).because(e))?;
        Ok(OwnedFd::from(file))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_by_line_and_missing_things_are_forgiven() {
        let lines = [act("addr add a"), remove("link del b"), act("link set c up")];
        let stderr = "Error: ipv4: Address already assigned.\nCommand failed -:1\n\
                      Cannot find device \"b\"\nCommand failed -:2\n\
                      Cannot find device \"c\"\nCommand failed -:3\n";
        assert_eq!(
            failures(&lines, stderr),
            ["addr add a: Error: ipv4: Address already assigned.", "link set c up: Cannot find device \"c\""]
        );
        assert_eq!(failures(&lines, "Error: nonsense\n"), ["the batch ended early: Error: nonsense"]);
        assert!(failures(&lines, "").is_empty());
    }
}
