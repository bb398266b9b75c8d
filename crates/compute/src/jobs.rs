//! What lists of work say of servers: whose they are, and their names.

use base::{HostId, Result};
use std::collections::HashMap;
use store::{Sql, Tx};

/// Ids of the work of a project, whose id goes behind it.
pub const OWN_WORK: &str = "SELECT id FROM server WHERE project_id =";

/// Names and projects of servers, and names of hosts, by id; ids of other things are left out.
pub fn labels(tx: &Tx<'_>, ids: &[String]) -> Result<HashMap<String, (String, Option<String>)>> {
    let mut q = Sql::new("SELECT id, name, project_id FROM server WHERE 1 = 1");
    q.and_in("id", ids);
    let servers = q.rows(tx, |r| Ok((r.get::<String>(0)?, (r.get(1)?, Some(r.get(2)?)))))?;
    let hosts: Vec<_> = ids.iter().filter(|id| id.parse::<HostId>().is_ok()).collect();
    let mut q = Sql::new("SELECT id, name FROM host WHERE 1 = 1");
    q.and_in("id", hosts);
    let hosts = q.rows(tx, |r| Ok((r.get::<String>(0)?, (r.get(1)?, None))))?;
    Ok(servers.into_iter().chain(hosts).collect())
}
