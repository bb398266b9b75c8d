//! QoS policies and their rules.

use super::Std;
use base::{QosPolicyId, QosRuleId};

#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub id: QosPolicyId,
    pub std: Std,
    pub shared: bool,
    pub is_default: bool,
}

/// A rule of a policy. There is one of each kind and direction at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub id: QosRuleId,
    pub policy: QosPolicyId,
    pub what: What,
}

/// Directions are the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Bandwidth { ingress: bool, kbps: u32, burst_kb: u32 },
    Dscp(u8),
}

/// The kinds of rules that are enforced here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bandwidth,
    Dscp,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Bandwidth, Kind::Dscp];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Bandwidth => "bandwidth_limit",
            Kind::Dscp => "dscp_marking",
        }
    }
}

impl What {
    pub fn kind(self) -> Kind {
        match self {
            What::Bandwidth { .. } => Kind::Bandwidth,
            What::Dscp(_) => Kind::Dscp,
        }
    }
    /// As the API says it. Marks are about what the guest sends.
    pub fn direction(self) -> &'static str {
        match self {
            What::Bandwidth { ingress: true, .. } => "ingress",
            _ => "egress",
        }
    }
}
