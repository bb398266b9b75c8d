//! Fetching by content: what was fetched half is gone on with, and nothing is used whose hash is not right.

use super::{Cache, cut};
use crate::link::{Link, away};
use base::doc::rack::RackImage;
use base::{Fault, Kind, Result};
use http_body_util::BodyExt;
use sha2::{Digest, Sha512};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A source that sends nothing for so long is given up for now.
const STALL: Duration = Duration::from_secs(60);

impl Cache {
    pub(super) async fn bring_file(&self, link: &Link, sha512: &str) -> Result<()> {
        let fetched = self.fetch(link, sha512, 0).await;
        let done = fetched.and_then(|part| Ok(std::fs::rename(part, self.file_path(sha512))?));
        match &done {
            Ok(()) => tracing::info!(file = sha512, "a file of the live system is here"),
            Err(fault) => tracing::warn!(file = sha512, "a file of the live system is not here yet: {fault}"),
        }
        self.tell();
        done
    }

    pub(super) async fn bring_image(self: &Arc<Self>, link: &Link, image: &RackImage) -> Result<()> {
        let done = self.try_image(link, image).await;
        let reason = done.as_ref().err().map(|f| f.message.clone()).unwrap_or_default();
        if let Err(fault) = &done {
            tracing::warn!(image = image.sha512, "an image is not here yet: {fault}");
        }
        self.progress(&image.sha512, |p| p.reason = reason);
        self.tell();
        done
    }

    async fn try_image(self: &Arc<Self>, link: &Link, image: &RackImage) -> Result<()> {
        // What the disk had no room for is not fetched again before there is more.
        self.make_room_for(self.progress(&image.sha512, |p| p.short))?;
        self.progress(&image.sha512, |p| p.short = 0);
        let part = self.fetch(link, &image.sha512, image.size).await?;
        let cut = self.cut(image, part.clone()).await;
        // An image that cannot be read is no better the next time.
        let _ = std::fs::remove_file(part);
        self.make_room();
        if cut.as_ref().is_err_and(|f| f.kind == Kind::TooLarge) {
            let free = self.free()?;
            self.progress(&image.sha512, |p| p.short = free);
        }
        cut
    }

    async fn cut(self: &Arc<Self>, image: &RackImage, file: PathBuf) -> Result<()> {
        let raw = match image.format.as_str() {
            "raw" => None,
            _ => Some(cut::convert(self, image, &file, "qemu-img").await?),
        };
        let (cache, image) = (self.clone(), image.clone());
        let cut = tokio::task::spawn_blocking(move || {
            cut::cut(&cache, &image, raw.as_ref().map_or(file.as_path(), cut::Scratch::path))
        });
        cut.await.map_err(Fault::internal)?
    }

    /// The file with this content, in `tmp`.
    async fn fetch(&self, link: &Link, sha512: &str, size: u64) -> Result<PathBuf> {
        let part = self.dir.join("tmp").join(format!("{sha512}.part"));
        let (mut file, mut hash, mut at) = begun(&part)?;
        self.progress(sha512, |p| (p.done, p.total) = (at, size));
        let answer = match link.image(sha512, at).await {
            // All of it is here, or more than there is.
            Err(fault) if fault.kind == Kind::RangeNotSatisfiable => None,
            other => Some(other?),
        };
        if let Some((from, length, mut body)) = answer {
            if from != at {
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                (hash, at) = (Sha512::new(), 0);
            }
            let total = length.map_or(size, |l| from + l);
            self.make_room_for(total.saturating_sub(at))?;
            self.progress(sha512, |p| p.total = total);
            let mut told = at;
            loop {
                let frame =
                    tokio::time::timeout(STALL, body.frame()).await.map_err(|_| away("it stopped"))?;
                let Some(frame) = frame else { break };
                let Ok(data) = frame.map_err(away)?.into_data() else { continue };
                file.write_all(&data)?;
                hash.update(&data);
                at += data.len() as u64;
                if at - told > 64 << 20 {
                    told = at;
                    self.progress(sha512, |p| p.done = at);
                    self.tell();
                }
            }
        }
        if hex::encode(hash.finalize()) != sha512 {
            std::fs::remove_file(&part)?;
            return Err(Fault::unavailable(
                "The content arrived with another hash than it should have; it is fetched again.",
            ));
        }
        file.sync_data()?;
        Ok(part)
    }
}

/// What was fetched before: the file at its end, its hash so far, and its length.
fn begun(part: &Path) -> Result<(std::fs::File, Sha512, u64)> {
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(part)?;
    let mut hash = Sha512::new();
    let mut length = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((file, hash, length)),
            n => {
                hash.update(&buffer[..n]);
                length += n as u64;
            }
        }
    }
}
