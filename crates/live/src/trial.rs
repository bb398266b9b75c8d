//! Tests of the hardware. Each has a bounded run time; what cannot be tested says so and does not fail.

use crate::desk::Desk;
use crate::talk::Talk;
use crate::{inventory, net};
use base::doc::live::{DiskFacts, DiskKind, Test, TestResult};
use base::{Fault, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const DISK_SAMPLES: u64 = 64;
const DISK_SAMPLE: usize = 1 << 20;
const DISK_TIME: Duration = Duration::from_secs(60);
const MEMORY_MAX: u64 = 4 << 30;
const MEMORY_TIME: Duration = Duration::from_secs(60);
/// Words of 64 bits that are written and compared at once. There are no more blocks than words in a page of memory, for
/// `Pattern`.
const MEMORY_BLOCK: usize = (MEMORY_MAX / 8) as usize / 512;
const CPU_TIME: Duration = Duration::from_secs(10);
const CPU_ROUNDS: usize = 2000;
/// Slower links are wrong in a data centre: a cable with broken pairs, or a switch port set by hand.
const SLOW_MBIT: u32 = 1000;

pub async fn run(tests: &[Test], talk: &Talk, desk: &Desk) -> Result<String> {
    let mut failed = 0;
    for test in tests {
        if desk.stopped() {
            return Err(Desk::replaced());
        }
        desk.say(format!("Testing: {}.", words(*test)));
        let results = match test {
            Test::Network => network(talk).await,
            test => {
                let test = *test;
                tokio::task::spawn_blocking(move || blocking(test)).await.map_err(Fault::internal)?
            }
        };
        for result in results {
            failed += usize::from(!result.passed);
            desk.tested(result);
        }
    }
    Ok(match failed {
        0 => format!("{} tests passed.", tests.len()),
        n => format!("{n} tests failed; their output says what was found."),
    })
}

fn words(test: Test) -> &'static str {
    match test {
        Test::DiskHealth => "what the disks say of themselves",
        Test::DiskRead => "reading the disks",
        Test::Memory => "memory",
        Test::Cpu => "processors",
        Test::Network => "network",
    }
}

fn blocking(test: Test) -> Vec<TestResult> {
    let disks = || inventory::disk::all(Path::new("/sys/block")).into_iter().filter(|d| !d.removable);
    match test {
        Test::DiskHealth => disks().map(|d| result(test, &d.name, health(&d))).collect(),
        Test::DiskRead => {
            disks().map(|d| result(test, &d.name, read(&Path::new("/dev").join(&d.name)))).collect()
        }
        Test::Memory => vec![result(test, "", memory(free_memory() / 2, MEMORY_TIME))],
        Test::Cpu => vec![result(test, "", cpu(CPU_TIME))],
        Test::Network => Vec::new(),
    }
}

/// `Ok`: passed.
fn result(test: Test, part: &str, outcome: Result<String, String>) -> TestResult {
    let passed = outcome.is_ok();
    TestResult { test, part: part.to_owned(), passed, output: outcome.unwrap_or_else(|e| e) }
}

fn health(disk: &DiskFacts) -> Result<String, String> {
    if disk.kind == DiskKind::Virtual {
        return Ok("A virtual disk says nothing of its health.".into());
    }
    let device = format!("/dev/{}", disk.name);
    let output = Command::new("timeout").args(["60", "smartctl", "-j", "-H", "-A", &device]).output();
    let output = output.map_err(|e| format!("The disk could not be asked how it is: {e}."))?;
    judge(output.status.code(), &serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// Some `timeout`s say so when the time is over; with others smartctl has no status, because it was killed.
const TIME_IS_OVER: i32 = 124;
const LATE: &str = "The disk did not answer within 60 s how it is. Look at its cable, or replace it.";
/// Bits of smartctl's status: the disk could not be opened, or it refused what it has to know.
const NO_ANSWER: i32 = 0b110;
/// Words of smartctl for what has no opinion of its own: it has none, or stands behind a controller that would have to be
/// named.
const NO_OPINION: [&str; 3] = ["lacks SMART capability", "does not support SMART", "'-d "];

/// smartctl's status and JSON: its verdict, and the counters that foretell a failure.
fn judge(status: Option<i32>, said: &serde_json::Value) -> Result<String, String> {
    let Some(passed) = said["smart_status"]["passed"].as_bool() else {
        return without_opinion(status, said);
    };
    let mut facts = Vec::new();
    if let Some(hours) = said["power_on_time"]["hours"].as_u64() {
        facts.push(format!("{hours} hours in use"));
    }
    if let Some(celsius) = said["temperature"]["current"].as_u64() {
        facts.push(format!("{celsius} °C"));
    }
    if let Some(used) = said["nvme_smart_health_information_log"]["percentage_used"].as_u64() {
        facts.push(format!("{used} % worn"));
    }
    let attributes = said["ata_smart_attributes"]["table"].as_array();
    let raw = |id: u64| {
        let found = attributes.and_then(|t| t.iter().find(|a| a["id"].as_u64() == Some(id)));
        found.and_then(|a| a["raw"]["value"].as_u64()).unwrap_or(0)
    };
    // 5 reallocated, 197 pending, 198 not correctable.
    let (moved, pending, lost) = (raw(5), raw(197), raw(198));
    if moved > 0 {
        facts.push(format!("{moved} sectors were replaced by spare ones"));
    }
    let facts = facts.join(", ");
    if !passed {
        return Err(format!("The disk says that it is about to fail ({facts}). Replace it."));
    }
    if pending + lost > 0 {
        return Err(format!("{} sectors cannot be read ({facts}). Replace the disk.", pending.max(lost)));
    }
    Ok(format!("The disk says that it is well ({facts})."))
}

/// A disk that has nothing to say is no worse for it; one that does not answer is.
fn without_opinion(status: Option<i32>, said: &serde_json::Value) -> Result<String, String> {
    let messages = said["smartctl"]["messages"].as_array().into_iter().flatten();
    let words: Vec<&str> = messages.filter_map(|m| m["string"].as_str()).collect();
    let words = words.join(" ");
    let none = said["smart_support"]["available"] == false || NO_OPINION.iter().any(|w| words.contains(w));
    if none {
        return Ok("The disk does not say how it is.".into());
    }
    match status {
        // Without any words it was killed before it had some.
        None | Some(TIME_IS_OVER) => Err(LATE.into()),
        Some(_) if said.is_null() => Err(LATE.into()),
        Some(status) if status & NO_ANSWER != 0 => {
            let words = if words.is_empty() { status.to_string() } else { words };
            Err(format!("The disk refused to say how it is ({words}). Look at its cable, or replace it."))
        }
        Some(_) => Ok("The disk does not say how it is.".into()),
    }
}

/// Samples over the whole disk.
fn read(path: &Path) -> Result<String, String> {
    let open = || -> std::io::Result<(File, u64)> {
        let mut file = File::open(path)?;
        let size = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
        Ok((file, size))
    };
    let (file, size) = open().map_err(|e| format!("The disk cannot be opened: {e}."))?;
    let since = Instant::now();
    let (mut buffer, mut done) = (vec![0; DISK_SAMPLE], 0_u64);
    let last = size.saturating_sub(DISK_SAMPLE as u64);
    for n in 0..DISK_SAMPLES {
        let at = (last / (DISK_SAMPLES - 1) * n) / 4096 * 4096;
        match file.read_at(&mut buffer, at) {
            Ok(length) => done += length as u64,
            Err(e) => {
                return Err(format!(
                    "Reading failed near byte {at}: {e}. Look at its cable, or replace the disk."
                ));
            }
        }
        if since.elapsed() > DISK_TIME {
            let rate = done / 1024 / since.elapsed().as_secs().max(1);
            return Err(format!("Reading is very slow ({rate} KiB/s): the disk may be about to fail."));
        }
    }
    let rate = done as f64 / since.elapsed().as_secs_f64().max(0.000_001) / 1e6;
    Ok(format!("{} samples over the whole disk were read, {rate:.0} MB/s.", DISK_SAMPLES))
}

fn free_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Patterns are written over `bytes` and read back: fixed ones for stuck bits, two that differ from word to word for address
/// lines. It goes by whole blocks, which the C library copies and compares as fast as memory goes.
fn memory(bytes: u64, time: Duration) -> Result<String, String> {
    let words = usize::try_from(bytes.min(MEMORY_MAX) / 8).unwrap_or(0);
    let since = Instant::now();
    let mut memory = vec![0_u64; words];
    let patterns: [fn(u64) -> u64; 4] = [
        |_| 0x5555_5555_5555_5555,
        |_| 0xaaaa_aaaa_aaaa_aaaa,
        |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        |n| !n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    ];
    let mut passes = 0;
    for pattern in patterns {
        let pattern = Pattern::new(pattern, MEMORY_BLOCK, words);
        pattern.fill(&mut memory);
        // The compiler must not know what is in there.
        let wrong = pattern.wrong(std::hint::black_box(&memory));
        if wrong > 0 {
            return Err(format!(
                "{wrong} of {words} words came back different. A memory module is broken: test them one by one."
            ));
        }
        passes += 1;
        if since.elapsed() > time {
            break;
        }
    }
    Ok(format!("{} MiB were written and read back {passes} times without an error.", words >> 17))
}

/// What memory is to hold: its block `n` is the table from the word `n` on. A broken address line shows one place for another
/// in the same page, or at the same place of another page: those are either in one block, or in two that differ by less than
/// a page has words, and so hold different words of the table.
struct Pattern {
    table: Vec<u64>,
    block: usize,
}

impl Pattern {
    fn new(word: fn(u64) -> u64, block: usize, words: usize) -> Pattern {
        Pattern { table: (0..(block + words.div_ceil(block)) as u64).map(word).collect(), block }
    }

    /// What the block `n` of so many words is to hold.
    fn wanted(&self, n: usize, length: usize) -> &[u64] {
        self.table.get(n..n + length).unwrap_or_default()
    }

    fn fill(&self, memory: &mut [u64]) {
        for (n, block) in memory.chunks_mut(self.block).enumerate() {
            block.copy_from_slice(self.wanted(n, block.len()));
        }
    }

    /// How many words are not what they are to be.
    fn wrong(&self, memory: &[u64]) -> usize {
        let blocks =
            memory.chunks(self.block).enumerate().map(|(n, seen)| (seen, self.wanted(n, seen.len())));
        // Compared whole first: counting is slow, and there is nearly never something to count.
        let broken = blocks.filter(|(seen, wanted)| seen != wanted);
        broken.map(|(seen, wanted)| seen.iter().zip(wanted).filter(|(a, b)| a != b).count()).sum()
    }
}

/// All threads compute the same and must agree.
fn cpu(time: Duration) -> Result<String, String> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        let mut digest = Sha256::digest([0_u8; 64]);
        for _ in 0..CPU_ROUNDS {
            digest = Sha256::digest(std::hint::black_box(digest));
        }
        digest
    };
    let expected = work();
    let until = Instant::now() + time;
    let run = || {
        let mut rounds = 0_u64;
        while Instant::now() < until {
            if work() != expected {
                return Err(());
            }
            rounds += 1;
        }
        Ok(rounds)
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        handles.into_iter().map(|h| h.join().unwrap_or(Err(()))).collect()
    });
    let wrong = all.iter().filter(|r| r.is_err()).count();
    if wrong > 0 {
        return Err(format!(
            "{wrong} of {threads} threads computed something else. The processor or its cooling is broken."
        ));
    }
    let rounds: u64 = all.into_iter().flatten().sum();
    Ok(format!("{threads} threads agreed {rounds} times within {} s.", time.as_secs()))
}

/// The rack answers, and every card that has a link has a good one.
async fn network(talk: &Talk) -> Vec<TestResult> {
    let since = Instant::now();
    let reached = talk.reaches().await;
    let mut all = vec![result(
        Test::Network,
        "",
        match reached {
            Ok(()) => Ok(format!("The rack answers within {} ms.", since.elapsed().as_millis())),
            Err(fault) => Err(format!("{}.", fault.message)),
        },
    )];
    for (name, _) in net::cards("").into_iter().filter(|(name, _)| net::linked(name)) {
        let speed = std::fs::read_to_string(format!("/sys/class/net/{name}/speed")).unwrap_or_default();
        let speed: u32 = speed.trim().parse().unwrap_or(0);
        all.push(result(Test::Network, &name, match speed {
            0 => Ok("The link is up; the card does not tell its speed.".into()),
            slow if slow < SLOW_MBIT => Err(format!(
                "The link is up with only {slow} Mbit/s. Try another cable, and look at the switch port's settings."
            )),
            speed => Ok(format!("The link is up with {speed} Mbit/s.")),
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_disk_that_is_ill_says_so() {
        let judge = |said: &serde_json::Value| judge(Some(0), said);
        let ill = json!({"smart_status": {"passed": false}, "power_on_time": {"hours": 9}});
        assert!(judge(&ill).unwrap_err().contains("about to fail (9 hours in use)"));
        let pending = json!({
            "smart_status": {"passed": true},
            "ata_smart_attributes": {"table": [{"id": 197, "raw": {"value": 3}}]}
        });
        assert!(judge(&pending).unwrap_err().contains("3 sectors cannot be read"));
        assert!(judge(&json!({"smart_status": {"passed": true}})).is_ok());
    }

    #[test]
    fn a_disk_that_does_not_answer_is_not_well() {
        let message = |text: &str| json!({"smartctl": {"messages": [{"string": text, "severity": "error"}]}});
        for status in [None, Some(124), Some(137)] {
            assert!(judge(status, &json!(null)).unwrap_err().contains("did not answer within 60 s"));
        }
        let away = message("Smartctl open device: /dev/sda failed: Input/output error");
        for status in [2, 4, 6, 0x44] {
            assert!(judge(Some(status), &away).unwrap_err().contains("Input/output error"), "{status}");
        }
        // Who has no opinion, or cannot be asked for it, is let be.
        let behind = "Smartctl open device: /dev/sda [SAT] failed: please try adding '-d megaraid,N'";
        for (status, said) in [
            (0, json!({})),
            (4, json!({"smart_support": {"available": false}})),
            (4, message("SMART support is: Unavailable - device lacks SMART capability.")),
            (2, message(behind)),
            (1, message("/dev/sdb: Unknown USB bridge; please specify device type with the -d option.")),
        ] {
            assert!(judge(Some(status), &said).unwrap().contains("does not say"), "{said}");
        }
        // A verdict counts, whatever else was refused.
        assert!(judge(Some(4), &json!({"smart_status": {"passed": true}})).is_ok());
    }

    /// A module with a line of its address bus cut shows one place for two.
    #[test]
    fn a_broken_address_line_is_found() {
        let words = (5 << 12) + 77;
        let pattern = Pattern::new(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1 << 12, words);
        let mut memory = vec![0; words];
        pattern.fill(&mut memory);
        assert_eq!(pattern.wrong(&memory), 0);
        for line in 0..15 {
            let at = |place: usize| place & !(1 << line);
            let mut broken = vec![0; words];
            // Of the two the later write is what is read.
            for place in 0..words {
                broken[at(place)] = memory[place];
            }
            let seen: Vec<u64> = (0..words).map(|place| broken[at(place)]).collect();
            let lost = (0..words).filter(|place| at(*place) != *place).count();
            assert_eq!(pattern.wrong(&seen), lost, "line {line}");
        }
        memory[4103] ^= 1 << 40;
        memory[words - 1] = 0;
        assert_eq!(pattern.wrong(&memory), 2);
    }

    #[test]
    fn tests_test() {
        assert!(memory(8 << 20, MEMORY_TIME).unwrap().starts_with("8 MiB"));
        assert!(cpu(Duration::from_millis(1)).is_ok());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        File::create(&path).unwrap().set_len(80 << 20).unwrap();
        assert!(read(&path).is_ok());
        assert!(read(&dir.path().join("none")).unwrap_err().contains("cannot be opened"));
    }
}
