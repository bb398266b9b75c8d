//! `/v2.0/extensions`: what works here, and only that, because clients switch features and tests by it.

use crate::{Network, err};
use ::api::{Reply, Req};
use base::Result;
use serde_json::{Value, json};
use std::sync::Arc;

/// Alias and name.
const EXTENSIONS: &[(&str, &str)] = &[
    ("address-group", "Address group"),
    ("address-scope", "Address scope"),
    ("agent", "agent"),
    ("allowed-address-pairs", "Allowed Address Pairs"),
    ("auto-allocated-topology", "Auto Allocated Topology Services"),
    ("availability_zone", "Availability Zone"),
    ("binding", "Port Binding"),
    ("default-subnetpools", "Default Subnetpools"),
    ("empty-string-filtering", "Empty String Filtering Extension"),
    ("expose-port-forwarding-in-fip", "Expose Port Forwarding in FIP Response"),
    ("ext-gw-mode", "Neutron L3 Configurable external gateway mode"),
    ("external-net", "Neutron external network"),
    ("extra_dhcp_opt", "Neutron Extra DHCP options"),
    ("extraroute", "Neutron Extra Route"),
    ("extraroute-atomic", "Atomically add/remove extra routes"),
    ("filter-validation", "Filter parameters validation"),
    ("fip-port-details", "Floating IP Port Details Extension"),
    ("floating-ip-port-forwarding", "Floating IP Port Forwarding"),
    ("floating-ip-port-forwarding-description", "Floating IP Port Forwarding description attribute"),
    ("floating-ip-port-forwarding-detail", "Floating IP Port Forwarding Detail"),
    ("floating-ip-port-forwarding-port-ranges", "Floating IP Port Forwarding support for port ranges"),
    ("floatingip-pools", "Floating IP Pools Extension"),
    ("ip-substring-filtering", "IP address substring filtering"),
    ("l3_agent_scheduler", "L3 Agent Scheduler"),
    ("net-mtu", "Network MTU"),
    ("net-mtu-writable", "Network MTU (writable)"),
    ("network-ip-availability", "Network IP Availability"),
    ("network_availability_zone", "Network Availability Zone"),
    ("pagination", "Pagination support"),
    ("port-security", "Port Security"),
    ("port-security-groups-filtering", "Port filtering on security groups"),
    ("project-id", "project_id field enabled"),
    ("provider", "Provider Network"),
    ("qos", "Quality of Service"),
    ("qos-bw-limit-direction", "Direction for QoS bandwidth limit rule"),
    ("qos-default", "QoS default policy"),
    ("qos-fip", "Floating IP QoS"),
    ("qos-gateway-ip", "Gateway IP QoS"),
    ("qos-port-network-policy", "QoS port network policy"),
    ("qos-rule-type-details", "Details of QoS rule types"),
    ("qos-rules-alias", "Ability to modify QoS rules without the QoS policy id"),
    ("quota-check-limit", "Quota engine limit check"),
    ("quota_details", "Quota details management support"),
    ("quotas", "Quota management support"),
    ("rbac-address-group", "Add address_group type to RBAC"),
    ("rbac-address-scope", "Add address_scope type to RBAC"),
    ("rbac-policies", "RBAC Policies"),
    ("rbac-security-groups", "Add security_group type to network RBAC"),
    ("rbac-subnetpool", "Add subnetpool type to RBAC"),
    ("revision-if-match", "If-Match constraints based on revision_number"),
    ("router", "Neutron L3 Router"),
    ("router_availability_zone", "Router Availability Zone"),
    ("security-group", "security-group"),
    ("security-groups-default-rules", "Default rules for security groups"),
    ("security-groups-normalized-cidr", "Normalized CIDR field for security group rules"),
    ("security-groups-remote-address-group", "Remote address group id field for security group rules"),
    (
        "security-groups-rules-belongs-to-default-sg",
        "Security group rule belongs to the project's default security group",
    ),
    ("security-groups-shared-filtering", "Security group filtering on the shared field"),
    ("service-type", "Neutron Service Type Management"),
    ("sorting", "Sorting support"),
    ("standard-attr-description", "standard-attr-description"),
    ("standard-attr-revisions", "Resource revision numbers"),
    (
        "standard-attr-tag",
        "Tag support for resources with standard attribute: network, subnet, port, router, floatingip, security_group, security_group_rule, subnetpool, address_scope, address_group, rbac_policy, default_security_group_rule",
    ),
    ("standard-attr-timestamp", "Resource timestamps"),
    ("stateful-security-group", "Stateful security group"),
    ("subnet-service-types", "Subnet service types"),
    ("subnet_allocation", "Subnet Allocation"),
    ("subnet_onboard", "Subnet Onboard"),
    ("subnetpool-prefix-ops", "Subnet Pool Prefix Operations"),
    ("tag", "Tag support"),
    ("tag-creation", "Tag creation extension"),
    ("tag-ext", "Tag support for resources: subnet, subnetpool, port, router"),
    ("tag-ports-during-bulk-creation", "Tag Ports During Bulk Creation"),
];

fn view((alias, name): &(&str, &str)) -> Value {
    json!({"alias": alias, "name": name, "description": name, "updated": "2026-11-01T00:00:00-00:00", "links": []})
}

pub async fn list(_net: Arc<Network>, _req: Req) -> Result<Reply> {
    Ok(Reply::json(200, &json!({"extensions": EXTENSIONS.iter().map(view).collect::<Vec<_>>()})))
}

pub async fn show(_net: Arc<Network>, req: Req) -> Result<Reply> {
    let alias = req.text_param("alias");
    let found = EXTENSIONS.iter().find(|(a, _)| *a == alias).ok_or_else(|| err::no_extension(alias))?;
    Ok(Reply::json(200, &json!({"extension": view(found)})))
}
