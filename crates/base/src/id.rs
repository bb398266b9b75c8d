//! Typed ids. A uuid id is a dashed version-4 uuid wherever an API shows it; a name id is text that
//! an API lets people choose (flavor `1`, domain `default`, 32-hex projects and users).

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh random id.
            #[allow(clippy::new_without_default, reason = "a random id has no default")]
            pub fn new() -> Self { Self(Uuid::new_v4()) }
            pub const fn nil() -> Self { Self(Uuid::nil()) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(&self.0, f) }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> { Uuid::parse_str(s).map(Self) }
        }
    )*};
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// A fresh random id: 32 hexadecimal digits without dashes.
            #[allow(clippy::new_without_default, reason = "a random id has no default")]
            pub fn new() -> Self { Self(Uuid::new_v4().simple().to_string()) }
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl From<&str> for $name {
            fn from(s: &str) -> Self { Self(s.to_owned()) }
        }
        impl From<String> for $name {
            fn from(s: String) -> Self { Self(s) }
        }
    )*};
}

uuid_id! {
    /// What a tenant asked for: a virtual machine, or a machine.
    ServerId,
    ImageId,
    NetworkId, SubnetId, PortId, RouterId, FloatingIpId, SecurityGroupId, SecurityGroupRuleId,
    QosPolicyId, QosRuleId, PortForwardingId,
    SubnetPoolId, AddressScopeId, AddressGroupId, RbacPolicyId,
    /// A computer that runs guests.
    HostId,
    /// A computer that is handed out whole.
    MachineId,
    /// A rack controller, and a layer-2 network of metal that it is plugged to.
    RackId, SegmentId,
}

text_id! {
    ProjectId, UserId, RoleId, DomainId, GroupId, FlavorId, ServiceId, EndpointId, RegionId,
}
