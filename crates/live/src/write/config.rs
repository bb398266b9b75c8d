//! The config drive: a small FAT file system labelled `config-2`, as cloud-init's ConfigDrive source looks for.

use base::{Fault, Result};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};

const LABEL: [u8; 11] = *b"config-2   ";
/// Bytes: the smallest, and what a cluster may waste on each file.
const LEAST: u64 = 4 << 20;
const WASTE: u64 = 8 << 10;
pub const MOST: u64 = 64 << 20;

/// Bytes that the drive needs, whole MiB; 0: there is to be none.
pub fn size(files: &BTreeMap<String, Vec<u8>>) -> u64 {
    if files.is_empty() {
        return 0;
    }
    let content: u64 = files.values().map(|c| c.len() as u64 + WASTE).sum();
    (LEAST + content).div_ceil(1 << 20) << 20
}

/// The bytes of the file system.
pub fn make(files: &BTreeMap<String, Vec<u8>>, length: u64) -> Result<Vec<u8>> {
    if length > MOST {
        return Err(Fault::bad_request(format!(
            "The configuration drive would be larger than {} MiB. Give the machine less user data.",
            MOST >> 20
        )));
    }
    let words = |e: std::io::Error| Fault::internal(format!("config drive: {e}"));
    let mut bytes = Cursor::new(vec![0_u8; usize::try_from(length).unwrap_or(0)]);
    fatfs::format_volume(&mut bytes, fatfs::FormatVolumeOptions::new().volume_label(LABEL)).map_err(words)?;
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
        let bytes = make(&files, length).unwrap();
        assert_eq!(&bytes[43..51], b"config-2");
        let mut cursor = Cursor::new(bytes);
        let volume = fatfs::FileSystem::new(&mut cursor, fatfs::FsOptions::new()).unwrap();
        assert_eq!(volume.volume_label(), "config-2");
        for (path, content) in &files {
            let mut bytes = Vec::new();
            let path = path.trim_start_matches(['.', '/']);
            volume.root_dir().open_file(path).unwrap().read_to_end(&mut bytes).unwrap();
            assert!(bytes == *content, "{path}");
        }
        assert_eq!(size(&BTreeMap::new()), 0);
        let huge = BTreeMap::from([("a".to_owned(), vec![b'y'; 70 << 20])]);
        assert!(make(&huge, size(&huge)).unwrap_err().message.contains("less user data"));
    }
}
