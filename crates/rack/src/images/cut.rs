//! An image as the disk that it is, cut into chunks.

use super::Cache;
use crate::board::lock;
use base::doc::rack::{Manifest, RackImage};
use base::{Fault, Result};
use rustix::fs::SeekFrom;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Of a chunk before compression, in bytes.
pub const CHUNK: u64 = 4 << 20;
/// Fast: machines and the network should wait for neither side.
const LEVEL: i32 = 1;

/// Makes the chunks and then the manifest of the image in `file`.
///
/// # Errors
/// `BadRequest` for what is no image of its format, or wants other files.
pub fn cut(cache: &Cache, image: &RackImage, file: &Path) -> Result<()> {
    let raw = cache.dir.join("tmp").join(format!("{}.raw", image.sha512));
    let disk = if image.format == "raw" {
        file
    } else {
        convert(&image.format, file, &raw)?;
        raw.as_path()
    };
    let manifest = chunks(cache, &File::open(disk)?);
    let _ = std::fs::remove_file(&raw);
    let manifest = manifest?;
    let path = cache.manifest_path(&image.sha512);
    write_whole(&path, &serde_json::to_vec(&manifest)?)?;
    tracing::info!(image = image.sha512, bytes = manifest.size, "an image is here");
    lock(&cache.state).manifests.insert(image.sha512.clone(), Arc::new(manifest));
    Ok(())
}

fn qemu_img(arguments: &[&std::ffi::OsStr]) -> Result<Vec<u8>> {
    let out = Command::new("qemu-img").args(arguments).stdin(Stdio::null()).output();
    let out = out.map_err(|e| {
        Fault::unavailable("qemu-img does not run here; install Debian's qemu-utils.").because(e)
    })?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    Err(Fault::bad_request("The image cannot be read as what it is said to be.").because(said))
}

fn convert(format: &str, from: &Path, to: &Path) -> Result<()> {
    if !format.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Fault::bad_request(format!("{format:?} is no format of images.")));
    }
    let (format, from) = (format.as_ref(), from.as_os_str());
    let told = qemu_img(&["info".as_ref(), "--output=json".as_ref(), "-f".as_ref(), format, from])?;
    let told: serde_json::Value = serde_json::from_slice(&told)?;
    let data_file = &told["format-specific"]["data"]["data-file"];
    if !told["backing-filename"].is_null() || !data_file.is_null() {
        return Err(Fault::bad_request("The image is not whole: it wants another file."));
    }
    let words =
        ["convert".as_ref(), "-f".as_ref(), format, "-O".as_ref(), "raw".as_ref(), from, to.as_os_str()];
    qemu_img(&words).map(drop)
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
                Err(rustix::io::Errno::NXIO) => size,
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

/// Whether a chunk on the disk is what its name says.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(path: &Path, sha256: &str) -> Result<(), String> {
    let packed = std::fs::read(path).map_err(|e| e.to_string())?;
    let whole = zstd::bulk::decompress(&packed, CHUNK as usize).map_err(|e| e.to_string())?;
    if hex::encode(Sha256::digest(&whole)) == sha256 {
        return Ok(());
    }
    Err("its hash is not right".into())
}
