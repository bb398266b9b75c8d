//! An image as the disk that it is, cut into chunks.

use super::Cache;
use crate::board::lock;
use base::doc::rack::{Manifest, RackImage};
use base::{Fault, Result};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Of a chunk before compression, in bytes.
pub const CHUNK: u64 = 4 << 20;
/// Fast: machines and the network should wait for neither side.
const LEVEL: i32 = 1;

/// A file that goes when this is dropped, however that comes.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Makes the chunks and then the manifest of the image that as a disk is `disk`.
pub fn cut(cache: &Cache, image: &RackImage, disk: &Path) -> Result<()> {
    let manifest = chunks(cache, &File::open(disk)?)?;
    let path = cache.manifest_path(&image.sha512);
    write_whole(&path, &serde_json::to_vec(&manifest)?)?;
    tracing::info!(image = image.sha512, bytes = manifest.size, "an image is here");
    lock(&cache.state).manifests.insert(image.sha512.clone(), Arc::new(manifest));
    Ok(())
}

/// The image in `from` as the disk that it is, made by `program`, which is `qemu-img`.
///
/// # Errors
/// `BadRequest` for what is no image of its format, or wants other files; `TooLarge` when the disk gets full.
pub async fn convert(cache: &Cache, image: &RackImage, from: &Path, program: &str) -> Result<Scratch> {
    let format: &str = &image.format;
    if !format.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Fault::bad_request(format!("{format:?} is no format of images.")));
    }
    let (format, from): (&OsStr, &OsStr) = (format.as_ref(), from.as_ref());
    let info = ["info".as_ref(), "--output=json".as_ref(), "-f".as_ref(), format, from];
    let told = qemu_img(cache, program, 0, &info).await?;
    let size = base::disk::of_one_file(&serde_json::from_slice(&told)?, &from.to_string_lossy())?;
    let raw = Scratch(cache.dir.join("tmp").join(format!("{}.raw", image.sha512)));
    let to: &OsStr = raw.path().as_ref();
    let convert = ["convert".as_ref(), "-f".as_ref(), format, "-O".as_ref(), "raw".as_ref(), from, to];
    qemu_img(cache, program, size, &convert).await?;
    Ok(raw)
}

/// What it says, writing at most `max` bytes and leaving the cache its room.
async fn qemu_img(cache: &Cache, program: &str, max: u64, arguments: &[&OsStr]) -> Result<Vec<u8>> {
    let room = || std::future::ready(cache.make_room_for(0));
    let out = base::disk::qemu_img(program, max, arguments, room).await?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    if out.status.code() == Some(127) {
        let words = "qemu-img does not run here; install Debian's qemu-utils.";
        return Err(Fault::unavailable(words).because(said));
    }
    Err(Fault::bad_request("The image cannot be read as what it is said to be.").because(said))
}

fn chunks(cache: &Cache, disk: &File) -> Result<Manifest> {
    let size = disk.metadata()?.len();
    let mut chunks = Vec::with_capacity(usize::try_from(size.div_ceil(CHUNK)).unwrap_or(0));
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    let mut buffer = vec![0; CHUNK as usize];
    let mut at = 0;
    // Where the next bytes are that are not a hole.
    let mut data = 0;
    while at < size {
        let n = CHUNK.min(size - at);
        if data < at {
            // A file system that knows no holes says that everything is data.
            data = match rustix::fs::seek(disk, SeekFrom::Data(at)) {
                Ok(next) => next,
                Err(Errno::NXIO) => size,
                Err(_) => at,
            };
        }
        let piece = &mut buffer[..usize::try_from(n).unwrap_or(0)];
        if data >= at + n {
            chunks.push(String::new());
        } else {
            disk.read_exact_at(piece, at)?;
            chunks.push(chunk(cache, piece, &mut compressor)?);
        }
        at += n;
    }
    Ok(Manifest { size, chunk_bytes: CHUNK as u32, chunks, peers: Vec::new() })
}

/// Puts one chunk where it belongs, if it is not there; its name.
fn chunk(cache: &Cache, piece: &[u8], compressor: &mut zstd::bulk::Compressor<'_>) -> Result<String> {
    if is_zero(piece) {
        return Ok(String::new());
    }
    let hash = hex::encode(Sha256::digest(piece));
    let path = cache.chunk_path(&hash);
    // One that is there already may be why the image is cut again.
    if check(&path, &hash).is_err() {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        // Nothing is let go for it here: what is being cut may share chunks with what would go.
        cache.fits(0)?;
        write_whole(&path, &compressor.compress(piece)?)?;
    }
    Ok(hash)
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    rest.iter().all(|b| *b == 0) && words.iter().all(|w| *w == [0; 64])
}

/// A file is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes)?;
    Ok(std::fs::rename(&new, path)?)
}

/// Why a chunk is not served.
#[derive(Debug)]
pub enum Bad {
    /// It is not what its name says, or is not there, or the disk has lost it.
    Spoiled(String),
    /// It could not be looked at, which says nothing about it: no file may be open any more, say.
    Unread(std::io::Error),
}

/// Whether a chunk on the disk is what its name says.
pub fn check(path: &Path, sha256: &str) -> Result<(), Bad> {
    let packed = std::fs::read(path).map_err(|e| {
        let lost = e.kind() == ErrorKind::NotFound || e.raw_os_error() == Some(Errno::IO.raw_os_error());
        if lost { Bad::Spoiled(e.to_string()) } else { Bad::Unread(e) }
    })?;
    let whole = zstd::bulk::decompress(&packed, CHUNK as usize).map_err(|e| Bad::Spoiled(e.to_string()))?;
    if hex::encode(Sha256::digest(&whole)) == sha256 {
        return Ok(());
    }
    Err(Bad::Spoiled("its hash is not right".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn a_conversion_that_fails_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 0).unwrap();
        let program = dir.path().join("qemu-img");
        let script = "#!/bin/sh\n\
             if [ \"$1\" = info ]; then echo '{\"virtual-size\": 4096}'; exit 0; fi\n\
             for to; do :; done\n\
             echo half > \"$to\"\n\
             test -s \"$to\" && echo 'no space' >&2\n\
             exit 1\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let image = RackImage { sha512: "ab".repeat(64), format: "qcow2".into(), size: 1 };
        let done = convert(&cache, &image, Path::new("/dev/null"), program.to_str().unwrap()).await;
        let why = done.err().unwrap();
        assert_eq!(why.cause.as_deref(), Some("no space"), "{why}");
        assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
        let missing = convert(&cache, &image, Path::new("/dev/null"), "/nowhere/qemu-img").await;
        assert!(missing.err().unwrap().message.contains("qemu-utils"));
    }
}
