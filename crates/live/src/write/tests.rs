//! The writer over files, with a real HTTP server that answers what a rack would, and some things that it would not.

mod fixture;

use super::*;
use fixture::{Rack, disk, gpt_image, pattern};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

async fn write(rack: &Rack, disk: &Arc<Disk>, wishes: (bool, u64)) -> Result<()> {
    let desk = Desk::new(1);
    let talk = Talk::new(&rack.url, 0);
    let order = WriteImage {
        image_sha512: "img".into(),
        disk: String::new(),
        grow: false,
        config_drive: BTreeMap::new(),
        config_drive_base64: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    let manifest = manifest(&order, &talk, &desk).await?;
    image(disk, "img", &manifest, wishes, &talk, &Holdings::default(), &desk).await
}

#[tokio::test]
async fn an_image_arrives_as_it_is_and_zeros_are_zeros() {
    let mut content = pattern(9 * MIB + 12_288);
    content[(2 * MIB) as usize..(5 * MIB) as usize].fill(0);
    let rack = Rack::start(&content, 1 << 20).await;
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), 12 * MIB, 0xee);
    write(&rack, &disk, (false, 0)).await.unwrap();
    let bytes = disk.read(0, content.len()).unwrap();
    assert!(bytes == content);
    // Three chunks of zeros were not asked for, nor was any asked twice.
    assert_eq!(rack.asked(), 10 - 3);
    // An old table at the end would be found by the firmware.
    assert!(disk.read(11 * MIB, MIB as usize).unwrap().iter().all(|b| *b == 0));
}

#[tokio::test]
async fn a_damaged_chunk_is_fetched_again() {
    let content = pattern(6 * MIB);
    let rack = Rack::start(&content, 1 << 20).await;
    rack.damage(2);
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), 8 * MIB, 0);
    write(&rack, &disk, (false, 0)).await.unwrap();
    assert!(disk.read(0, content.len()).unwrap() == content);
    assert_eq!(rack.asked(), 6 + 2);
}

#[tokio::test]
async fn a_chunk_that_stays_damaged_is_explained_and_the_disk_has_no_table() {
    let content = gpt_image(6 * MIB);
    let rack = Rack::start(&content, 1 << 20).await;
    rack.damage_always(&content[(3 * MIB) as usize..(4 * MIB) as usize]);
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), 8 * MIB, 0xee);
    let fault = write(&rack, &disk, (false, 0)).await.unwrap_err();
    assert!(fault.message.contains("Piece 3 of the image arrived damaged"), "{}", fault.message);
    assert!(disk.read(0, MIB as usize).unwrap().iter().all(|b| *b == 0));
}

#[tokio::test]
async fn the_racks_absence_is_waited_out() {
    let content = pattern(5 * MIB);
    let rack = Rack::start(&content, 1 << 20).await;
    rack.refuse(3);
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), 8 * MIB, 0);
    write(&rack, &disk, (false, 0)).await.unwrap();
    assert!(disk.read(0, content.len()).unwrap() == content);
}

#[tokio::test]
async fn neighbours_help_and_one_that_lies_is_not_believed() {
    let content = pattern(16 * MIB);
    let rack = Rack::start(&content, 1 << 20).await;
    let dir = tempfile::tempdir().unwrap();
    let first = disk(dir.path(), 16 * MIB, 0);
    let holdings = Holdings::default();
    let port = crate::peers::serve(holdings.clone()).await.unwrap();
    let talk = Talk::new(&rack.url, 0);
    let desk = Desk::new(1);
    let manifest = talk.manifest("img").await.unwrap();
    image(&first, "img", &manifest, (false, 0), &talk, &holdings, &desk).await.unwrap();

    let liar = Rack::start(&content, 1 << 20).await;
    liar.damage(1000);
    rack.peers(&[format!("http://127.0.0.1:{port}"), liar.url.clone()]);
    let before = rack.asked();
    let second_dir = tempfile::tempdir().unwrap();
    let second = disk(second_dir.path(), 16 * MIB, 0);
    write(&rack, &second, (false, 0)).await.unwrap();
    assert!(second.read(0, content.len()).unwrap() == content);
    assert!(rack.asked() - before < 16, "all came from the rack");
    // One that lied is not asked again; those on their way at that moment may have been.
    assert!(liar.asked() <= 8, "{}", liar.asked());

    // What has changed on the disk since is not handed out.
    first.write(MIB, b"something else").unwrap();
    let hash = &manifest.chunks[1];
    let wait = std::time::Duration::from_secs(5);
    let source = format!("http://127.0.0.1:{port}");
    assert_eq!(
        talk.chunk(&source, "img", (hash, false), (2 << 20, wait), &mut Vec::new()).await.unwrap_err().kind,
        Kind::NotFound
    );
}

#[tokio::test]
async fn another_task_ends_it() {
    let content = pattern(4 * MIB);
    let rack = Rack::start(&content, 1 << 20).await;
    rack.refuse(u32::MAX);
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), 4 * MIB, 0);
    let desk = Desk::new(1);
    let talk = Talk::new(&rack.url, 0);
    let manifest = talk.manifest("img").await.unwrap();
    let holdings = Holdings::default();
    let writing = image(&disk, "img", &manifest, (false, 0), &talk, &holdings, &desk);
    let (outcome, ()) = tokio::join!(writing, async { desk.stop() });
    assert_eq!(outcome.unwrap_err().message, Desk::replaced().message);
    assert_eq!(Arc::strong_count(&disk), 1);
}

#[tokio::test]
async fn a_disk_without_room_is_not_touched() {
    let content = gpt_image(8 * MIB);
    let rack = Rack::start(&content, 1 << 20).await;
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), 10 * MIB, 0xee);
    let fault = write(&rack, &disk, (true, 5 * MIB)).await.unwrap_err();
    assert!(
        fault.message.contains("too small for the image and its configuration drive"),
        "{}",
        fault.message
    );
    assert!(disk.read(0, 10 * MIB as usize).unwrap().iter().all(|b| *b == 0xee));
}

#[test]
fn a_gpt_is_fitted_to_a_larger_disk() {
    let content = gpt_image(8 * MIB);
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), 40 * MIB, 0);
    disk.write(0, &content).unwrap();
    let config = BTreeMap::from([("openstack/latest/meta_data.json".to_owned(), b"{}".to_vec())]);
    // The last partition holds nothing that is known: it stays, and the rest is done.
    let mut notes = Vec::new();
    let before = table::read(&content, 512).unwrap().last().unwrap();
    let fitted = fit(&disk, true, &config, &mut notes).unwrap();
    assert_eq!(fitted.grown, None);
    assert!(notes[0].contains("left as it is"), "{notes:?}");
    // An ext4 in it: it takes what is left. Done twice, as every task may be.
    disk.write(0, &content).unwrap();
    disk.write(before.start * 512 + 0x438, &[0x53, 0xef]).unwrap();
    notes.clear();
    let fitted = fit(&disk, true, &config, &mut notes).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    let (at, length) = fitted.config.unwrap();
    assert_eq!(fitted.grown, Some(before.number));
    assert_eq!((at % MIB, length % MIB), (0, 0));
    let head = disk.read(0, MIB as usize).unwrap();
    let table = table::read(&head, 512).unwrap();
    let parts = table.parts();
    let grown = parts.iter().find(|p| p.number == before.number).unwrap();
    assert_eq!((grown.start, grown.end()), (before.start, at / 512));
    assert_eq!(disk.read(at + 43, 8).unwrap(), b"config-2");
    fixture::sgdisk_agrees(disk.path());
}

#[test]
fn a_configuration_drive_is_made_for_the_sectors_of_its_disk() {
    let mut head = vec![0_u8; 512];
    // One partition, counted in the disk's sectors.
    head[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]);
    head[510..].copy_from_slice(&[0x55, 0xaa]);
    let dir = tempfile::tempdir().unwrap();
    let mut disk = disk(dir.path(), 40 * MIB, 0);
    Arc::get_mut(&mut disk).unwrap().sector = 4096;
    disk.write(0, &head).unwrap();
    let config = BTreeMap::from([("openstack/latest/meta_data.json".to_owned(), b"{}".to_vec())]);
    let (at, _) = fit(&disk, false, &config, &mut Vec::new()).unwrap().config.unwrap();
    assert_eq!(disk.read(at + 11, 2).unwrap(), 4096_u16.to_le_bytes());
}

#[test]
fn what_is_not_understood_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), 8 * MIB, 0);
    // NTFS on the whole disk ends its first sector as a table does.
    let mut ntfs = vec![0_u8; 4096];
    ntfs[..11].copy_from_slice(b"\xeb\x52\x90NTFS    ");
    ntfs[446..450].copy_from_slice(b"\x0d\x0aBO");
    ntfs[510..512].copy_from_slice(&[0x55, 0xaa]);
    for head in [vec![0; 4096], ntfs, gpt_broken()] {
        disk.write(0, &head).unwrap();
        let before = disk.read(0, 8 * MIB as usize).unwrap();
        let mut notes = Vec::new();
        let config = BTreeMap::from([("a".to_owned(), b"b".to_vec())]);
        let fitted = fit(&disk, true, &config, &mut notes).unwrap();
        assert_eq!(fitted, Fitted::default());
        assert!(disk.read(0, 8 * MIB as usize).unwrap() == before);
        assert!(notes[0].contains("no configuration drive"), "{notes:?}");
    }
}

/// The first MiB of an image, made once.
static HEAD: std::sync::LazyLock<Vec<u8>> =
    std::sync::LazyLock::new(|| gpt_image(4 * MIB)[..1 << 20].to_vec());

fn gpt_broken() -> Vec<u8> {
    let mut image = gpt_image(4 * MIB);
    image[1024 + 40] ^= 1;
    image.truncate(1 << 20);
    image
}

#[test]
fn an_mbr_is_fitted_too() {
    let entry = |kind: u8, start: u32, sectors: u32| {
        let mut entry = vec![0x80, 0, 0, 0, kind, 0, 0, 0];
        entry.extend(start.to_le_bytes());
        entry.extend(sectors.to_le_bytes());
        entry
    };
    let mut head = vec![0_u8; 512];
    head[446..462].copy_from_slice(&entry(0xef, 2048, 2048));
    head[462..478].copy_from_slice(&entry(0x83, 4096, 4096));
    head[510..].copy_from_slice(&[0x55, 0xaa]);
    let table = table::read(&head, 512).unwrap();
    let fitted = table.fit(65_536, 512, true, 4 * MIB).unwrap();
    assert_eq!((fitted.config, fitted.grown), (Some((28 * MIB, 4 * MIB)), Some(2)));
    let after = table::read(&fitted.writes[0].1, 512).unwrap();
    let short: Vec<_> = after.parts().iter().map(|p| (p.number, p.start, p.end())).collect();
    assert_eq!(short, [(1, 2048, 4096), (2, 4096, 57_344), (3, 57_344, 65_536)]);
    // A disk of more than 2 TiB: the table cannot say more.
    let fitted = table::read(&head, 512).unwrap().fit(1 << 33, 512, true, 0).unwrap();
    let after = table::read(&fitted.writes[0].1, 512).unwrap();
    assert_eq!(after.last().unwrap().end(), u64::from(u32::MAX) / 2048 * 2048);
}

#[test]
fn an_image_for_other_sectors_is_refused() {
    let image = gpt_image(4 * MIB);
    let fault = table::read(&image[..1 << 20], 4096).unwrap_err();
    assert!(fault.message.contains("sectors of 512 bytes, and this disk has 4096"), "{}", fault.message);
}

#[test]
fn a_manifest_that_does_not_fit_together_is_refused() {
    let good = Manifest {
        size: 5000,
        chunk_bytes: 4096,
        chunks: vec![String::new(), "ab".repeat(32)],
        peers: Vec::new(),
    };
    assert!(check(good.clone()).is_ok());
    for bad in [
        Manifest { size: 9000, ..good.clone() },
        Manifest { size: 0, chunks: Vec::new(), ..good.clone() },
        Manifest { chunk_bytes: 0, ..good.clone() },
        Manifest { chunk_bytes: 4097, ..good.clone() },
        Manifest { chunk_bytes: u32::MAX, ..good.clone() },
        Manifest { chunks: vec!["../etc".into(), String::new()], ..good.clone() },
    ] {
        assert!(check(bad).is_err());
    }
}

proptest! {
    #[test]
    fn garbage_tables_are_survived(
        edits in proptest::collection::vec((0_usize..20_480, any::<u8>()), 0..40),
        sums in any::<bool>(),
        disk in 0_u64..200_000,
        config in 0_u64..8,
    ) {
        let mut head = HEAD.clone();
        for (at, value) in edits {
            head[at] = value;
        }
        if sums {
            fixture::reseal(&mut head);
        }
        for sector in [512, 4096] {
            if let Ok(table) = table::read(&head, sector) {
                let _ = table.parts();
                let _ = table.fit(disk, sector, true, config * MIB);
            }
        }
    }
}
