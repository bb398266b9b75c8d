//! What every API shares: who asks ([`Auth`]), who may ([`Rule`]), the request and reply types that all
//! handlers use ([`Req`], [`Reply`]), a service's route table ([`Service`]), error bodies in each API's
//! own manner ([`Style`]), microversions, paging and body checks.
//!
//! Invariants: a route cannot exist without a rule; a handler cannot write an error body; a request
//! without a good token reaches no handler unless its rule is [`Rule::Open`].

mod auth;
pub mod body;
mod linger;
pub mod micro;
pub mod page;
mod policy;
mod reply;
mod req;
mod service;
mod style;

pub use auth::{Auth, Authority, Named, Scope};
pub use body::Obj;
pub use linger::lingering;
pub use micro::{Microversions, Version};
pub use page::{Page, Sort};
pub use policy::{Level, Reach, Rule};
pub use reply::Reply;
pub use req::{Channel, Query, Req};
pub use service::{Gate, Listed, Route, Service};
pub use style::{FIELDS, Style};
