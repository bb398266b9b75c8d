//! The config drive: a small FAT file system labelled `config-2`, as cloud-init's ConfigDrive source looks for.

use base::{Fault, Result};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};

const LABEL: [u8; 11] = *b"config-2   ";
/// Bytes: the smallest, and what the clusters of each file and of its directories may waste, which are as large as the
/// sectors of some disks.
const LEAST: u64 = 4 << 20;
const WASTE: u64 = 32 << 10;
/// Of so many bytes the file system needs one to find them again.
const FOUND: u64 = 128;
pub const MOST: u64 = 64 << 20;

/// Bytes that the drive needs, whole MiB; 0: there is to be none.
pub fn size(files: &BTreeMap<String, Vec<u8>>) -> u64 {
    if files.is_empty() {
        return 0;
    }
    let content: u64 = files.values().map(|c| c.len() as u64 + WASTE).sum();
    (LEAST + content + content / FOUND).div_ceil(1 << 20) << 20
}

/// # Errors
/// `BadRequest` for more than a drive holds.
pub fn check(files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    if size(files) > MOST {
        return Err(Fault::bad_request(format!(
            "The configuration drive would be larger than {} MiB. Give the machine less user data.",
            MOST >> 20
        )));
    }
    Ok(())
}

/// The bytes of the file system, for a disk with such sectors: Linux mounts none that is made for smaller ones.
pub fn make(files: &BTreeMap<String, Vec<u8>>, length: u64, sector: u64) -> Result<Vec<u8>> {
    check(files)?;
    let words = |e: std::io::Error| Fault::internal(format!("config drive: {e}"));
    let mut bytes = Cursor::new(vec![0_u8; usize::try_from(length).unwrap_or(0)]);
    let sector = u16::try_from(sector).unwrap_or(512).clamp(512, 4096);
    let options = fatfs::FormatVolumeOptions::new().volume_label(LABEL).bytes_per_sector(sector);
    fatfs::format_volume(&mut bytes, options).map_err(words)?;
    {
        let volume = fatfs::FileSystem::new(&mut bytes, fatfs::FsOptions::new()).map_err(words)?;
        for (path, content) in files {
            let mut parts: Vec<&str> =
                path.split('/').filter(|p| !p.is_empty() && *p != "." && *p != "..").collect();
            let Some(name) = parts.pop() else { continue };
            let mut dir = volume.root_dir();
            for part in parts {
                dir = dir.create_dir(part).map_err(words)?;
            }
            let mut file = dir.create_file(name).map_err(words)?;
            file.truncate().map_err(words)?;
            file.write_all(content).map_err(words)?;
        }
        volume.unmount().map_err(words)?;
    }
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn text_and_bytes_come_together() {
        let mut order: base::doc::live::WriteImage =
            serde_json::from_str(r#"{"image_sha512": "x", "config_drive": {"a": "text"}}"#).unwrap();
        assert_eq!(order.drive().unwrap(), BTreeMap::from([("a".to_owned(), b"text".to_vec())]));
        order.config_drive_base64.insert("b".into(), "H4sA/w==".into());
        assert_eq!(order.drive().unwrap()["b"], [0x1f, 0x8b, 0, 0xff]);
        order.config_drive_base64.insert("c".into(), "%".into());
        assert!(order.drive().unwrap_err().message.contains("c of the configuration drive"));
    }

    #[test]
    fn whatever_has_room_by_its_size_has_room() {
        let many = |n: usize, bytes: usize| -> BTreeMap<String, Vec<u8>> {
            (0..n)
                .map(|n| (format!("a{n}/b{n}/a file with quite a long name {n}"), vec![b'x'; bytes]))
                .collect()
        };
        for files in [many(1, 0), many(1, 12 << 20), many(1, 59 << 20), many(100, 1), many(200, 200 << 10)] {
            for sector in [512, 4096] {
                let length = size(&files);
                assert!(make(&files, length, sector).is_ok(), "{} MiB, sectors of {sector}", length >> 20);
            }
        }
        let one = many(1, 1);
        for (mib, sector) in (LEAST >> 20..=MOST >> 20).flat_map(|mib| [(mib, 512), (mib, 4096)]) {
            assert!(make(&one, mib << 20, sector).is_ok(), "{mib} MiB, sectors of {sector}");
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let big = "x".repeat(3 << 20);
        let files: BTreeMap<String, Vec<u8>> = [
            ("openstack/latest/meta_data.json", b"{}".as_slice()),
            ("/openstack/latest/user_data", big.as_bytes()),
            ("openstack/latest/vendor_data.bin", &[0x1f, 0x8b, 0xff, 0, 0x80]),
            ("openstack/latest/a file with a long name.txt", b"hello"),
            ("../../escape", b"stays inside"),
        ]
        .map(|(a, b)| (a.to_owned(), b.to_vec()))
        .into();
        let length = size(&files);
        assert_eq!(length % (1 << 20), 0);
        for sector in [512, 4096] {
            let bytes = make(&files, length, sector).unwrap();
            assert_eq!(&bytes[43..51], b"config-2");
            assert_eq!(u64::from(u16::from_le_bytes([bytes[11], bytes[12]])), sector);
            let mut cursor = Cursor::new(bytes);
            let volume = fatfs::FileSystem::new(&mut cursor, fatfs::FsOptions::new()).unwrap();
            assert_eq!(volume.volume_label(), "config-2");
            for (path, content) in &files {
                let mut bytes = Vec::new();
                let path = path.trim_start_matches(['.', '/']);
                volume.root_dir().open_file(path).unwrap().read_to_end(&mut bytes).unwrap();
                assert!(bytes == *content, "{path}");
            }
        }
        assert_eq!(size(&BTreeMap::new()), 0);
        let huge = BTreeMap::from([("a".to_owned(), vec![b'y'; 70 << 20])]);
        assert!(make(&huge, size(&huge), 512).unwrap_err().message.contains("less user data"));
    }
}
