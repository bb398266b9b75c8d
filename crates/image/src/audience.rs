//! Who may know that an image changed.

use crate::model::Visibility;
use crate::table;
use base::{ImageId, Result};
use store::Tx;
use store::change::Audience;

/// Whoever may know of a change to the image with this id; `None` when it is no more.
pub fn audience(tx: &Tx<'_>, id: &str) -> Result<Option<Audience>> {
    let Ok(id) = id.parse::<ImageId>() else { return Ok(None) };
    let Some(image) = table::image::find(tx, id)? else { return Ok(None) };
    let owner = image.owner.to_string();
    Ok(Some(match image.visibility {
        Visibility::Public | Visibility::Community => Audience::Everybody,
        Visibility::Private => Audience::Projects(vec![owner]),
        Visibility::Shared => {
            let members = table::member::of_image(tx, id)?.into_iter().map(|m| m.member.to_string());
            Audience::Projects(std::iter::once(owner).chain(members).collect())
        }
    }))
}
