use super::*;

fn at(at: u64) -> Sample {
    Sample { at, ..Sample::default() }
}

#[test]
fn a_day_is_kept_in_little_room() {
    let mut kept = Kept::default();
    for n in 0..10_000 {
        kept.push(at(n * 30));
    }
    assert_eq!((kept.fine.len(), kept.coarse.len()), (FINE, COARSE));
    let all = kept.all();
    assert!(all.windows(2).all(|pair| pair[0].at < pair[1].at));
    assert_eq!(all.last(), Some(&at(9_999 * 30)));
    let (first, last) = (all[0].at, all[all.len() - 1].at);
    assert!(last - first > 23 * 3600, "{}", last - first);
}

#[test]
fn a_clock_that_is_put_back_does_not_turn_the_order() {
    let mut kept = Kept::default();
    for n in [100, 130, 160, 120, 150] {
        kept.push(at(n));
    }
    assert_eq!(kept.all().iter().map(|s| s.at).collect::<Vec<_>>(), [100, 120, 150]);
}

#[test]
fn what_was_written_down_is_read_again_and_the_file_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    let meter = Meter::default();
    for n in 0..1_000 {
        meter.note(None, &file, at(n * COARSE_S));
    }
    let lines = std::fs::read_to_string(&file).unwrap().lines().count();
    assert!((COARSE..=2 * COARSE).contains(&lines), "{lines}");
    // The last line was not finished when the power went.
    let mut torn = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(b"{\"at\": 99").unwrap();
    let again = Meter::default();
    again.note(None, &file, at(1_000 * COARSE_S));
    let all = again.part(None, Micros(0), usize::MAX).samples;
    assert_eq!((all.len(), all[COARSE - 1]), (COARSE, at(1_000 * COARSE_S)));
    assert_eq!(all[COARSE - 2], at(999 * COARSE_S));
    again.keep_only(&HashSet::new());
    assert!(!again.part(None, Micros(0), 5).samples.is_empty(), "the host itself is always here");
}

#[test]
fn the_kernel_is_read_by_its_own_columns() {
    let stat = "cpu  10 1 5 1000 50 2 3 4 7 0\ncpu0 9 9 9 9\n";
    assert_eq!(worked_ns(stat), 25 * 10_000_000);
    assert_eq!(used_mib("MemTotal: 4096 kB\nMemFree: 1 kB\nMemAvailable:  1024 kB\n"), 3);
    let stats = " 254 0 vda 5 0 100 1 7 0 200 1 0 1 1\n 254 1 vda1 5 0 50 1 7 0 60 1 0 1 1\n   7 0 loop0 1 1 9 1 1 1 9\n";
    assert_eq!(disks(stats, |name| name == "vda"), (51_200, 102_400));
    let dev = "Inter-| Receive\n face |bytes\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n";
    assert_eq!(cards(dev, |name| name == "eth0"), (7, 8));
}
