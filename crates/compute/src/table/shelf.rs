//! Servers that are put aside, or on their way there or back.

use base::{Fault, ImageId, Micros, Result, ServerId};
use store::{Tx, params};

/// Where a server should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Stopped, its disk kept on its host and as an image.
    Shelved,
    /// On no host; the image is all there is.
    Offloaded,
    /// Running again.
    Back,
}

impl Wish {
    fn as_str(self) -> &'static str {
        match self {
            Wish::Shelved => "shelved",
            Wish::Offloaded => "offloaded",
            Wish::Back => "back",
        }
    }
    fn parse(s: &str) -> Option<Wish> {
        [Wish::Shelved, Wish::Offloaded, Wish::Back].into_iter().find(|w| w.as_str() == s)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// The server's disk.
    pub image: ImageId,
    pub wish: Wish,
    /// When the image was there.
    pub since: Option<Micros>,
}

pub fn of(tx: &Tx<'_>, server: ServerId) -> Result<Option<Shelf>> {
    tx.opt(
        "SELECT image_id, want, shelved_at FROM server_shelf WHERE server_id = $1 AND image_id IS NOT NULL",
        params![server],
        |r| {
            let wish = Wish::parse(&r.get::<String>(1)?).ok_or_else(|| Fault::internal("unknown wish"))?;
            Ok(Shelf { image: r.get(0)?, wish, since: r.get(2)? })
        },
    )
}

pub fn put(tx: &Tx<'_>, server: ServerId, s: &Shelf) -> Result<()> {
    tx.exec(
        "INSERT INTO server_shelf (server_id, image_id, want, shelved_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (server_id) DO UPDATE SET image_id = excluded.image_id, want = excluded.want,
           shelved_at = excluded.shelved_at",
        params![server, s.image, s.wish.as_str(), s.since],
    )?;
    Ok(())
}

pub fn clear(tx: &Tx<'_>, server: ServerId) -> Result<()> {
    tx.exec("DELETE FROM server_shelf WHERE server_id = $1", params![server])?;
    Ok(())
}
