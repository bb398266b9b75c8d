//! An open disk: bytes at places, zeros as cheaply as the disk can make them, and words for what goes wrong.
//! A file stands in for a disk in tests and measurements.

use base::doc::live::{DiskFacts, DiskKind};
use base::{Fault, Result};
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, open};
use std::ffi::{c_int, c_uint};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of zeros that are written at once where neither disk nor kernel has a quicker way.
const ZEROS: usize = 1 << 20;
/// Bytes that are made zero by one call, so that progress can be told and a new task heard.
pub const STRIDE: u64 = 256 << 20;

pub struct Disk {
    file: File,
    path: PathBuf,
    name: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of the smallest piece that it reads and writes.
    pub sector: u64,
    pub kind: DiskKind,
}

impl Disk {
    /// A disk of the inventory that nobody else uses. It is not kept from others: the kernel would not look at its
    /// partition table again as long as it is.
    pub fn open(facts: &DiskFacts) -> Result<Disk> {
        let path = Path::new("/dev").join(&facts.name);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let alone = open(&path, flags | OFlags::EXCL, Mode::empty());
        let file = alone.and_then(|_| open(&path, flags, Mode::empty())).map_err(|e| {
            Fault::unavailable(format!(
                "The disk {} cannot be opened: {e}. Is something on it in use?",
                facts.name
            ))
        })?;
        Self::with(File::from(file), &path, &facts.name, u64::from(facts.sector.max(512)), facts.kind)
    }

    /// Any file or block device, as a disk of 512-byte sectors.
    pub fn open_path(path: &Path) -> Result<Disk> {
        let file = File::options().read(true).write(true).open(path)?;
        Self::with(file, path, &path.to_string_lossy(), 512, DiskKind::Virtual)
    }

    fn with(mut file: File, path: &Path, name: &str, sector: u64, kind: DiskKind) -> Result<Disk> {
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Disk { file, path: path.to_owned(), name: name.to_owned(), size, sector, kind })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn read(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).map_err(|e| self.fault("read", at, &e))?;
        Ok(bytes)
    }
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, at).map_err(|e| self.fault("written", at, &e))
    }

    /// Makes a range read as zeros, for sure: given back to the disk where that reads as zeros, else by the kernel,
    /// else by hand. (A plain discard promises nothing.)
    pub fn zero(&self, at: u64, length: u64) -> Result<()> {
        let aligned = at.is_multiple_of(self.sector) && length.is_multiple_of(self.sector);
        let keep = FallocateFlags::KEEP_SIZE;
        if aligned
            && (fallocate(&self.file, FallocateFlags::PUNCH_HOLE | keep, at, length).is_ok()
                || fallocate(&self.file, FallocateFlags::ZERO_RANGE | keep, at, length).is_ok())
        {
            return Ok(());
        }
        self.overwrite(at, length)
    }

    /// Zeros, every byte of them sent to the disk.
    pub fn overwrite(&self, at: u64, length: u64) -> Result<()> {
        let zeros = vec![0_u8; ZEROS];
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(ZEROS as u64);
            let slice = zeros.get(..usize::try_from(piece).unwrap_or(ZEROS)).unwrap_or(&zeros);
            self.write(at + done, slice)?;
            done += piece;
        }
        Ok(())
    }

    /// Has the medium begin to take what was written there, and does not wait. Only a hint: without it the kernel
    /// gathers for seconds, and the disk has nothing to do meanwhile.
    #[expect(unsafe_code, reason = "sync_file_range(2) has no safe wrapper; it takes numbers only")]
    pub fn begin(&self, at: u64, length: u64) {
        const SYNC_FILE_RANGE_WRITE: c_uint = 2;
        unsafe extern "C" {
            safe fn sync_file_range(fd: c_int, offset: i64, length: i64, flags: c_uint) -> c_int;
        }
        if let (Ok(at), Ok(length)) = (i64::try_from(at), i64::try_from(length)) {
            let _ = sync_file_range(self.file.as_raw_fd(), at, length, SYNC_FILE_RANGE_WRITE);
        }
    }

    /// Everything written so far is on the medium.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| self.fault("written", 0, &e))
    }

    /// What is read next comes from the medium and not from memory.
    pub fn forget_cache(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn fault(&self, what: &str, at: u64, cause: &std::io::Error) -> Fault {
        Fault::unavailable(format!(
            "The disk {} cannot be {what} near byte {at}: {cause}. It may be broken; look at its health and cables.",
            self.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_zeros_wherever_they_begin() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, vec![7_u8; 64 << 10]).unwrap();
        let disk = Disk::open_path(&path).unwrap();
        disk.zero(4096, 8192).unwrap();
        disk.zero(20_001, 33).unwrap();
        let bytes = disk.read(0, 64 << 10).unwrap();
        let wrong = bytes.iter().enumerate().filter(|(at, b)| {
            let zero = (4096..12_288).contains(at) || (20_001..20_034).contains(at);
            **b != if zero { 0 } else { 7 }
        });
        assert_eq!(wrong.count(), 0);
        assert!(disk.read(64 << 10, 1).unwrap_err().message.contains("cannot be read near byte 65536"));
    }
}
