//! The definitions that an installation begins with: what Hanok honours of images and flavors.
//!
//! They are written once; what administrators change or delete stays so.

use super::namespaces::Whole;
use crate::table::metadef;
use api::Obj;
use base::{Fault, Result};
use serde_json::Value;
use store::{Tx, params};

const DEFINITIONS: &str = include_str!("definitions.json");
/// Things that definitions can be about, as other programs call them.
const RESOURCE_TYPES: [&str; 7] = [
    "OS::Glance::Image",
    "OS::Nova::Flavor",
    "OS::Nova::Server",
    "OS::Nova::Aggregate",
    "OS::Cinder::Volume",
    "OS::Neutron::Net",
    "OS::Trove::Instance",
];
const MARK: &str = "image.metadefs";

pub fn first_start(tx: &Tx<'_>) -> Result<()> {
    let sql = "INSERT INTO setting (name, value) VALUES ($1, '1') ON CONFLICT (name) DO NOTHING";
    if tx.exec(sql, params![MARK])? == 0 {
        return Ok(());
    }
    for name in RESOURCE_TYPES {
        metadef::add_resource_type(tx, name)?;
    }
    let owner = crate::first::admin_project(tx).map_or_else(|_| "admin".to_owned(), |p| p.0);
    let Value::Array(all) = serde_json::from_str(DEFINITIONS)? else {
        return Err(Fault::internal("the definitions are no list"));
    };
    for one in all {
        Whole::parse(&Obj::root(one)?, &owner)?.insert(tx)?;
    }
    Ok(())
}
