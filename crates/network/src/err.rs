//! Refusals by the exception names that clients of the Network API match on.

use base::{Fault, Kind};
use std::fmt::Display;

macro_rules! missing {
    ($($name:ident $tag:literal $text:literal),* $(,)?) => {$(
        pub fn $name(id: impl Display) -> Fault {
            Fault::not_found(format!(concat!($text, " {} could not be found."), id)).tag($tag)
        }
    )*};
}

missing! {
    no_network "NetworkNotFound" "Network",
    no_subnet "SubnetNotFound" "Subnet",
    no_port "PortNotFound" "Port",
    no_router "RouterNotFound" "Router",
    no_floating "FloatingIPNotFound" "Floating IP",
    no_group "SecurityGroupNotFound" "Security group",
    no_rule "SecurityGroupRuleNotFound" "Security group rule",
    no_agent "AgentNotFound" "Agent",
    no_rbac "RbacPolicyNotFound" "RBAC policy",
    no_scope "AddressScopeNotFound" "Address scope",
    no_pool "SubnetPoolNotFound" "Subnet pool",
    no_addresses "AddressGroupNotFound" "Address group",
    no_template "DefaultSecurityGroupRuleNotFound" "Default Security Group rule",
    no_extension "ExtensionNotFound" "Extension with alias",
}

/// 400 with the type that stands for most refused input.
pub fn invalid(why: impl Into<String>) -> Fault {
    Fault::bad_request(why).tag("InvalidInput")
}

/// 400 of another type.
pub fn bad(tag: &'static str, why: impl Into<String>) -> Fault {
    Fault::bad_request(why).tag(tag)
}

/// 409.
pub fn conflict(tag: &'static str, why: impl Into<String>) -> Fault {
    Fault::conflict(why).tag(tag)
}

/// 403: the caller sees the thing but may not do this to it.
pub fn policy(what: &str) -> Fault {
    Fault::forbidden(format!("(rule:{what}) is disallowed by policy")).tag("PolicyNotAuthorized")
}

pub fn over_quota(resource: &str) -> Fault {
    Fault::quota(format!("Quota exceeded for resources: ['{resource}'].")).tag("OverQuota")
}

pub fn no_more_addresses(network: impl Display) -> Fault {
    conflict("IpAddressGenerationFailure", format!("No more IP addresses available on network {network}."))
}

pub fn address_taken(address: impl Display, subnet: impl Display) -> Fault {
    conflict(
        "IpAddressAlreadyAllocated",
        format!("IP address {address} already allocated in subnet {subnet}."),
    )
}

pub fn stale(expected: i64) -> Fault {
    Fault::new(
        Kind::PreconditionFailed,
        format!("Constrained to {expected}, but current revision is another one. Read it again."),
    )
    .tag("RevisionNumberConstraintFailed")
}

/// A VLAN of a physical network is one network.
pub fn vlan_in_use(physical: &str, segment: u16) -> Fault {
    conflict(
        "VlanIdInUse",
        format!("Unable to create the network. The VLAN {segment} on physical network {physical} is in use."),
    )
}

/// Turns the database's refusal of a foreign key (something new holds on to what goes) into a conflict.
pub fn still_used(tag: &'static str, why: impl Into<String>) -> impl FnOnce(Fault) -> Fault {
    let why = why.into();
    move |f| if f.kind == Kind::BadReference { conflict(tag, why) } else { f }
}
