//! SQL of subnet pools and of what subnets took from them.

use crate::model::{Std, Subnet, SubnetPool, json};
use crate::plan;
use base::{AddressScopeId, Fault, ProjectId, Result, SubnetPoolId};
use ipnet::IpNet;
use store::{Row, Tx, Val, params};

pub const COLS: &str = "t.id, t.project_id, t.name, t.description, t.revision, t.created_at, t.updated_at, \
     t.ip_version, t.is_default, t.default_prefixlen, t.min_prefixlen, t.max_prefixlen, t.default_quota, \
     t.address_scope_id, t.prefixes";

pub fn read(r: &Row<'_>) -> Result<SubnetPool> {
    let len = |i| u8::try_from(r.get::<i64>(i)?).map_err(Fault::internal);
    Ok(SubnetPool {
        id: r.get(0)?,
        std: Std::read(r)?,
        v6: r.get::<i64>(7)? == 6,
        is_default: r.get(8)?,
        default_len: len(9)?,
        min_len: len(10)?,
        max_len: len(11)?,
        quota: r.get(12)?,
        scope: r.get(13)?,
        prefixes: json(r, 14)?,
    })
}

pub fn find(tx: &Tx<'_>, condition: &str, vals: &[Val<'_>]) -> Result<Vec<SubnetPool>> {
    tx.rows(
        &format!("SELECT {COLS} FROM subnetpool t WHERE {condition} ORDER BY t.created_at, t.id"),
        vals,
        read,
    )
}

pub fn by_id(tx: &Tx<'_>, id: SubnetPoolId) -> Result<Option<SubnetPool>> {
    Ok(find(tx, "t.id = $1", params![id])?.pop())
}

pub fn default_of(tx: &Tx<'_>, v6: bool) -> Result<Option<SubnetPool>> {
    let version = if v6 { 6 } else { 4 };
    Ok(find(tx, "t.is_default = 1 AND t.ip_version = $1", params![version])?.pop())
}

pub fn of_scope(tx: &Tx<'_>, scope: AddressScopeId) -> Result<Vec<SubnetPool>> {
    find(tx, "t.address_scope_id = $1", params![scope])
}

fn vals(p: &SubnetPool) -> Result<Vec<Val<'_>>> {
    Ok(vec![
        p.id.into(),
        (&p.std.name).into(),
        (&p.std.description).into(),
        p.is_default.into(),
        i64::from(p.default_len).into(),
        i64::from(p.min_len).into(),
        i64::from(p.max_len).into(),
        p.quota.into(),
        p.scope.into(),
        serde_json::to_string(&p.prefixes)?.into(),
    ])
}

/// False when there is another default pool.
pub fn insert(tx: &Tx<'_>, p: &SubnetPool) -> Result<bool> {
    let mut all = vals(p)?;
    all.extend([
        (&p.std.project).into(),
        p.std.revision.into(),
        p.std.created.into(),
        p.std.updated.into(),
        (if p.v6 { 6 } else { 4 }).into(),
    ]);
    let added = tx.exec(
        "INSERT INTO subnetpool (id, name, description, is_default, default_prefixlen, min_prefixlen, max_prefixlen,
         default_quota, address_scope_id, prefixes, project_id, revision, created_at, updated_at, ip_version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING",
        &all,
    )?;
    Ok(added == 1)
}

pub fn update(tx: &Tx<'_>, p: &SubnetPool) -> Result<()> {
    tx.exec(
        "UPDATE subnetpool SET name = $2, description = $3, is_default = $4, default_prefixlen = $5,
         min_prefixlen = $6, max_prefixlen = $7, default_quota = $8, address_scope_id = $9, prefixes = $10
         WHERE id = $1",
        &vals(p)?,
    )
    .map(drop)
}

/// What is taken of a pool, in order of the addresses.
pub fn taken(tx: &Tx<'_>, pool: SubnetPoolId) -> Result<Vec<IpNet>> {
    tx.rows(
        "SELECT s.cidr FROM subnetpool_allocation a JOIN subnet s ON s.id = a.subnet_id
         WHERE a.pool_id = $1 ORDER BY a.first",
        params![pool],
        |r| r.get::<String>(0)?.parse().map_err(Fault::internal),
    )
}

/// What one project has of a pool.
pub fn taken_by(tx: &Tx<'_>, pool: SubnetPoolId, project: &ProjectId) -> Result<Vec<IpNet>> {
    tx.rows(
        "SELECT s.cidr FROM subnetpool_allocation a JOIN subnet s ON s.id = a.subnet_id
         WHERE a.pool_id = $1 AND a.project_id = $2",
        params![pool, project],
        |r| r.get::<String>(0)?.parse().map_err(Fault::internal),
    )
}

/// Takes a subnet's prefix; false when any of it is taken. The caller holds the pool's row.
pub fn claim(tx: &Tx<'_>, pool: SubnetPoolId, s: &Subnet) -> Result<bool> {
    let (first, last) = (plan::key(s.cidr.network()), plan::key(s.cidr.broadcast()));
    let clash =
        "SELECT 1 FROM subnetpool_allocation WHERE pool_id = $1 AND first <= $3 AND last >= $2 LIMIT 1";
    if tx.opt(clash, params![pool, &first, &last], |_| Ok(()))?.is_some() {
        return Ok(false);
    }
    let added = tx.exec(
        "INSERT INTO subnetpool_allocation (subnet_id, pool_id, project_id, first, last)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        params![s.id, pool, &s.std.project, first, last],
    )?;
    Ok(added == 1)
}
