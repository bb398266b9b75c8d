//! What an image is: its row, its tags and properties, and how the API shows it.
//!
//! The words of the API (`queued`, `shared`, `qcow2`) exist only in the tables below; everything else
//! speaks of variants.

use api::Auth;
use base::{Fault, ImageId, Micros, ProjectId, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::{FromCol, Row};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident $word:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($variant),* }
        impl $name {
            /// Every word, in the order of the schema.
            pub const WORDS: &'static [&'static str] = &[$($word),*];
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
            pub fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
            /// From a column that may be null.
            #[allow(dead_code, reason = "not every word can be absent")]
            pub fn maybe(row: &Row<'_>, i: usize) -> Result<Option<Self>> {
                row.get::<Option<String>>(i)?.map(|_| row.get(i)).transpose()
            }
        }
        impl FromCol for $name {
            fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
                let word: String = row.get(i)?;
                Self::of(&word).ok_or_else(|| Fault::internal(format!("column {i} holds {word:?}")))
            }
        }
    )*};
}

words! {
    /// ```text
    ///   Queued ── upload begins ──▶ Saving ── content is checked and kept ──▶ Active ◀──▶ Deactivated
    ///     │ ▲                         │                                        ▲
    ///     │ └── refused or cut short ─┴────────────────┐                       │
    ///     ├── stage ──▶ Uploading ──────── import ──▶ Importing ── the same ───┘
    ///     └── import from elsewhere ─────────────────────▲
    /// ```
    Status {
        Queued "queued", Saving "saving", Active "active", Deactivated "deactivated", Uploading "uploading",
        Importing "importing",
    }

    /// How far a task is.
    TaskStatus { Pending "pending", Processing "processing", Success "success", Failure "failure" }

    /// Who sees an image: everybody (in lists too), everybody who knows its id, its owner and its
    /// members, its owner.
    Visibility { Community "community", Public "public", Private "private", Shared "shared" }

    /// How the bytes are arranged.
    DiskFormat {
        Ami "ami", Ari "ari", Aki "aki", Vhd "vhd", Vhdx "vhdx", Vmdk "vmdk", Raw "raw", Qcow2 "qcow2",
        Vdi "vdi", Iso "iso",
    }

    /// What the disk is wrapped in; `bare` is nothing.
    Container {
        Ami "ami", Ari "ari", Aki "aki", Bare "bare", Ovf "ovf", Ova "ova", Docker "docker",
        Compressed "compressed",
    }

    /// What a project said to an image that is shared with it.
    MemberStatus { Pending "pending", Accepted "accepted", Rejected "rejected" }
}

/// Content that is kept for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Lower-case hexadecimal.
    pub sha512: String,
    pub md5: String,
    pub bytes: u64,
}

/// An image without its tags and properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: ImageId,
    pub owner: ProjectId,
    pub name: Option<String>,
    pub status: Status,
    pub visibility: Visibility,
    pub disk_format: Option<DiskFormat>,
    pub container: Option<Container>,
    /// GiB.
    pub min_disk: i64,
    /// MiB.
    pub min_ram: i64,
    pub protected: bool,
    pub hidden: bool,
    pub content: Option<Content>,
    /// Bytes that have arrived and whose digests are not known yet.
    pub arrived: Option<u64>,
    /// Bytes.
    pub virtual_size: Option<u64>,
    pub created_at: Micros,
    pub updated_at: Micros,
}

impl Record {
    pub fn queued(id: ImageId, owner: ProjectId) -> Self {
        let now = Micros::now();
        Record {
            id,
            owner,
            name: None,
            status: Status::Queued,
            visibility: Visibility::Shared,
            disk_format: None,
            container: None,
            min_disk: 0,
            min_ram: 0,
            protected: false,
            hidden: false,
            content: None,
            arrived: None,
            virtual_size: None,
            created_at: now,
            updated_at: now,
        }
    }
    /// Bytes that the image takes of its project's quota.
    pub fn bytes(&self) -> Option<u64> {
        self.content.as_ref().map(|c| c.bytes).or(self.arrived)
    }
    /// Whether the caller is the owner's or an admin.
    pub fn is_of(&self, auth: &Auth) -> bool {
        auth.sees(self.owner.as_str())
    }
    /// # Errors
    /// 403 for callers who see the image and may not change it.
    pub fn changeable_by(&self, auth: &Auth) -> Result<()> {
        if self.is_of(auth) {
            return Ok(());
        }
        Err(Fault::forbidden("You are not permitted to modify this image: it belongs to another project."))
    }
}

/// An image as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub row: Record,
    pub properties: BTreeMap<String, String>,
    pub tags: BTreeSet<String>,
}

impl Shown {
    /// The JSON of the API. Properties come first, so that none can take an attribute's place.
    pub fn view(&self) -> Value {
        let row = &self.row;
        let path = format!("/v2/images/{}", row.id);
        let mut map: Map<String, Value> =
            self.properties.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        let content = row.content.as_ref();
        let attributes = json!({
            "id": row.id,
            "name": row.name,
            "owner": row.owner,
            "status": row.status.as_str(),
            "visibility": row.visibility.as_str(),
            "disk_format": row.disk_format.map(DiskFormat::as_str),
            "container_format": row.container.map(Container::as_str),
            "min_disk": row.min_disk,
            "min_ram": row.min_ram,
            "protected": row.protected,
            "os_hidden": row.hidden,
            "size": row.bytes(),
            "virtual_size": row.virtual_size,
            "checksum": content.map(|c| c.md5.as_str()),
            "os_hash_algo": content.map(|_| "sha512"),
            "os_hash_value": content.map(|c| c.sha512.as_str()),
            "created_at": row.created_at.seconds_z(),
            "updated_at": row.updated_at.seconds_z(),
            "tags": self.tags,
            "self": path,
            "file": format!("{path}/file"),
            "schema": "/v2/schemas/image",
        });
        if let Value::Object(attributes) = attributes {
            map.extend(attributes);
        }
        Value::Object(map)
    }
}

/// A project that an image is shared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub image: ImageId,
    pub member: ProjectId,
    pub status: MemberStatus,
    pub created_at: Micros,
    pub updated_at: Micros,
}

impl Member {
    pub fn view(&self) -> Value {
        json!({
            "image_id": self.image,
            "member_id": self.member,
            "status": self.status.as_str(),
            "created_at": self.created_at.seconds_z(),
            "updated_at": self.updated_at.seconds_z(),
            "schema": "/v2/schemas/member",
        })
    }
}

/// The words of Image for a thing that is not there, or not the caller's to know of.
pub fn unknown(id: impl std::fmt::Display) -> Fault {
    Fault::not_found(format!("No image found with ID {id}"))
}
