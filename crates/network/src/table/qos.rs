//! SQL of QoS policies, their rules, and who has which.

use crate::model::qos::{Kind, Policy, Rule, What};
use crate::model::{Port, Std};
use base::{Fault, HostId, PortId, ProjectId, QosPolicyId, QosRuleId, Result, RouterId, doc};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use store::{Row, Tx, Val, params};

pub const COLS: &str = "t.id, t.project_id, t.name, t.description, t.revision, t.created_at, t.updated_at, \
     t.shared, t.is_default";

pub fn read(r: &Row<'_>) -> Result<Policy> {
    Ok(Policy { id: r.get(0)?, std: Std::read(r)?, shared: r.get(7)?, is_default: r.get(8)? })
}

pub fn by_id(tx: &Tx<'_>, id: QosPolicyId) -> Result<Option<Policy>> {
    tx.opt(&format!("SELECT {COLS} FROM qos_policy t WHERE t.id = $1"), params![id], read)
}

/// The policy that new networks of a project have.
pub fn default_of(tx: &Tx<'_>, project: &ProjectId) -> Result<Option<QosPolicyId>> {
    let sql = "SELECT id FROM qos_policy WHERE project_id = $1 AND is_default = 1";
    tx.opt(sql, params![project], |r| r.get(0))
}

/// False when the project has another default policy already.
pub fn insert(tx: &Tx<'_>, p: &Policy) -> Result<bool> {
    let added = tx.exec(
        "INSERT INTO qos_policy (id, project_id, name, description, revision, created_at, updated_at, shared,
         is_default) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        params![
            p.id,
            &p.std.project,
            &p.std.name,
            &p.std.description,
            p.std.revision,
            p.std.created,
            p.std.updated,
            p.shared,
            p.is_default
        ],
    )?;
    Ok(added == 1)
}

pub fn update(tx: &Tx<'_>, p: &Policy) -> Result<()> {
    tx.exec(
        "UPDATE qos_policy SET name = $2, description = $3, shared = $4, is_default = $5 WHERE id = $1",
        params![p.id, &p.std.name, &p.std.description, p.shared, p.is_default],
    )
    .map(drop)
}

// ------------------------------------------------------------------------------------ rules

const RULE_COLS: &str = "r.id, r.policy_id, r.kind, r.direction, r.max_kbps, r.max_burst_kbps, r.dscp_mark";

fn read_rule(r: &Row<'_>) -> Result<Rule> {
    Ok(Rule { id: r.get(0)?, policy: r.get(1)?, what: read_what(r, 2)? })
}

/// The five columns from `kind` on.
fn read_what(r: &Row<'_>, at: usize) -> Result<What> {
    if r.get::<String>(at)? == Kind::Dscp.as_str() {
        let mark = u8::try_from(r.get::<i64>(at + 4)?).map_err(Fault::internal)?;
        return Ok(What::Dscp(mark));
    }
    let ingress = r.get::<String>(at + 1)? == "ingress";
    Ok(What::Bandwidth { ingress, kbps: r.get(at + 2)?, burst_kb: r.get(at + 3)? })
}

/// The rules of policies, by policy.
pub fn rules(tx: &Tx<'_>, policies: &[String]) -> Result<HashMap<String, Vec<Rule>>> {
    super::children(
        tx,
        &format!("SELECT r.policy_id, {RULE_COLS} FROM qos_rule r WHERE r.policy_id IN ("),
        ") ORDER BY r.created_at, r.id",
        policies,
        |r| Ok(Rule { id: r.get(1)?, policy: r.get(2)?, what: read_what(r, 3)? }),
    )
}

pub fn rule(tx: &Tx<'_>, id: QosRuleId) -> Result<Option<Rule>> {
    tx.opt(&format!("SELECT {RULE_COLS} FROM qos_rule r WHERE r.id = $1"), params![id], read_rule)
}

fn columns(what: What) -> (u32, u32, u32) {
    match what {
        What::Bandwidth { kbps, burst_kb, .. } => (kbps, burst_kb, 0),
        What::Dscp(mark) => (0, 0, mark.into()),
    }
}

/// False when the policy has a rule of this kind and direction already.
pub fn insert_rule(tx: &Tx<'_>, r: &Rule) -> Result<bool> {
    let (kbps, burst, mark) = columns(r.what);
    let added = tx.exec(
        "INSERT INTO qos_rule (id, policy_id, kind, direction, max_kbps, max_burst_kbps, dscp_mark, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (policy_id, kind, direction) DO NOTHING",
        params![
            r.id,
            r.policy,
            r.what.kind().as_str(),
            r.what.direction(),
            kbps,
            burst,
            mark,
            base::Micros::now()
        ],
    )?;
    Ok(added == 1)
}

/// False when another rule of the policy has this direction.
pub fn update_rule(tx: &Tx<'_>, r: &Rule) -> Result<bool> {
    let (kbps, burst, mark) = columns(r.what);
    let changed = tx.exec(
        "UPDATE qos_rule SET direction = $2, max_kbps = $3, max_burst_kbps = $4, dscp_mark = $5 WHERE id = $1
         AND NOT EXISTS (SELECT 1 FROM qos_rule o WHERE o.policy_id = qos_rule.policy_id
                         AND o.kind = qos_rule.kind AND o.direction = $2 AND o.id <> $1)",
        params![r.id, r.what.direction(), kbps, burst, mark],
    )?;
    Ok(changed == 1)
}

pub fn delete_rule(tx: &Tx<'_>, id: QosRuleId) -> Result<()> {
    tx.exec("DELETE FROM qos_rule WHERE id = $1", params![id]).map(drop)
}

// ------------------------------------------------------------------------------------ who has which

/// What can have a policy: its table of these, and the column with its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Port,
    Network,
    Floating,
    Router,
}

impl Holder {
    pub const ALL: [Holder; 4] = [Holder::Port, Holder::Network, Holder::Floating, Holder::Router];

    pub fn table(self) -> (&'static str, &'static str) {
        match self {
            Holder::Port => ("port_qos", "port_id"),
            Holder::Network => ("network_qos", "network_id"),
            Holder::Floating => ("floating_ip_qos", "floating_ip_id"),
            Holder::Router => ("router_qos", "router_id"),
        }
    }
    /// As messages name it.
    pub fn word(self) -> &'static str {
        match self {
            Holder::Port => "port",
            Holder::Network => "network",
            Holder::Floating => "floating IP",
            Holder::Router => "router gateway",
        }
    }
}

/// The policies of some holders of one kind, by their ids.
pub fn held(tx: &Tx<'_>, by: Holder, ids: &[String]) -> Result<HashMap<String, QosPolicyId>> {
    let (table, id) = by.table();
    let sql = format!("SELECT {id}, policy_id FROM {table} WHERE {id} IN (");
    let found = super::children(tx, &sql, ")", ids, |r| r.get(1))?;
    Ok(found.into_iter().filter_map(|(id, mut list)| Some((id, list.pop()?))).collect())
}

/// One that has the policy.
pub fn holder(tx: &Tx<'_>, by: Holder, policy: QosPolicyId) -> Result<Option<String>> {
    let (table, id) = by.table();
    let sql = format!("SELECT {id} FROM {table} WHERE policy_id = $1 LIMIT 1");
    tx.opt(&sql, params![policy], |r| r.get(0))
}

pub fn give(tx: &Tx<'_>, by: Holder, id: &str, policy: Option<QosPolicyId>) -> Result<()> {
    let (table, column) = by.table();
    match policy {
        None => tx.exec(&format!("DELETE FROM {table} WHERE {column} = $1"), params![id]),
        Some(policy) => tx.exec(
            &format!(
                "INSERT INTO {table} ({column}, policy_id) VALUES ($1, $2)
                 ON CONFLICT ({column}) DO UPDATE SET policy_id = $2"
            ),
            params![id, policy],
        ),
    }
    .map(drop)
}

/// Adds the condition for rows whose policy is one of `values`.
pub fn filter(q: &mut store::Sql, by: Holder, values: &[&str]) {
    let (table, id) = by.table();
    q.push(&format!(" AND t.id IN (SELECT {id} FROM {table} WHERE 1 = 1"));
    q.and_in("policy_id", values.iter().copied()).push(")");
}

/// Hosts that enforce a policy at their guests' ports, and the homes of routers that enforce it.
pub fn hosts(tx: &Tx<'_>, policy: QosPolicyId) -> Result<Vec<HostId>> {
    tx.rows(
        "SELECT p.host_id FROM port_qos o JOIN port p ON p.id = o.port_id
         WHERE o.policy_id = $1 AND p.host_id IS NOT NULL
         UNION SELECT p.host_id FROM network_qos o JOIN port p ON p.network_id = o.network_id
         WHERE o.policy_id = $1 AND p.host_id IS NOT NULL
         UNION SELECT r.home_host_id FROM floating_ip_qos o JOIN floating_ip f ON f.id = o.floating_ip_id
         JOIN router r ON r.id = f.router_id WHERE o.policy_id = $1 AND r.home_host_id IS NOT NULL
         UNION SELECT r.home_host_id FROM router_qos o JOIN router r ON r.id = o.router_id
         WHERE o.policy_id = $1 AND r.home_host_id IS NOT NULL",
        params![policy],
        |r| r.get(0),
    )
}

/// Limits at a router's gateway: those of its floating IPs, and of the gateway's own addresses.
pub fn of_gateway(tx: &Tx<'_>, router: RouterId, port: &Port) -> Result<Vec<doc::AddressLimit>> {
    const RULE: &str = "r.kind, r.direction, r.max_kbps, r.max_burst_kbps, r.dscp_mark";
    let floating = format!(
        "SELECT f.address, {RULE} FROM floating_ip f JOIN floating_ip_qos o ON o.floating_ip_id = f.id
         JOIN qos_rule r ON r.policy_id = o.policy_id WHERE f.router_id = $1"
    );
    let mut by_address: BTreeMap<IpAddr, doc::Qos> = BTreeMap::new();
    for (address, what) in tx.rows(&floating, params![router], |r| Ok((r.get(0)?, read_what(r, 1)?)))? {
        add(by_address.entry(address).or_default(), what);
    }
    let own = format!(
        "SELECT {RULE} FROM router_qos o JOIN qos_rule r ON r.policy_id = o.policy_id WHERE o.router_id = $1"
    );
    for what in tx.rows(&own, params![router], |r| read_what(r, 0))? {
        for a in &port.addresses {
            add(by_address.entry(a.address).or_default(), what);
        }
    }
    let limit = |(address, q): (IpAddr, doc::Qos)| doc::AddressLimit {
        address,
        egress: q.egress,
        ingress: q.ingress,
    };
    Ok(by_address.into_iter().map(limit).filter(|l| l.egress.is_some() || l.ingress.is_some()).collect())
}

fn add(to: &mut doc::Qos, what: What) {
    match what {
        What::Dscp(mark) => to.dscp = Some(mark),
        What::Bandwidth { ingress, kbps, burst_kb } => {
            let limit = Some(doc::Limit { kbps: kbps.into(), burst_kb: burst_kb.into() });
            if ingress { to.ingress = limit } else { to.egress = limit }
        }
    }
}

/// What is asked of the traffic of each port that a host holds: by its own policy, else its network's.
pub fn of_host(tx: &Tx<'_>, host: HostId) -> Result<HashMap<PortId, doc::Qos>> {
    let sql = "SELECT p.id, r.kind, r.direction, r.max_kbps, r.max_burst_kbps, r.dscp_mark FROM port p
               LEFT JOIN port_qos o ON o.port_id = p.id LEFT JOIN network_qos n ON n.network_id = p.network_id
               JOIN qos_rule r ON r.policy_id = COALESCE(o.policy_id, n.policy_id) WHERE p.host_id = $1";
    let vals: &[Val<'_>] = params![host];
    let mut out: HashMap<PortId, doc::Qos> = HashMap::new();
    for (port, what) in tx.rows(sql, vals, |r| Ok((r.get(0)?, read_what(r, 1)?)))? {
        add(out.entry(port).or_default(), what);
    }
    Ok(out)
}
