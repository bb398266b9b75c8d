//! Values in and out of the database: TEXT and BIGINT, nothing else.

use base::{Fault, Micros, Result};
use std::borrow::Cow;

/// A parameter.
#[derive(Debug, Clone)]
pub enum Val<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
}

impl Val<'_> {
    pub(crate) fn into_owned(self) -> Val<'static> {
        match self {
            Val::Null => Val::Null,
            Val::Int(i) => Val::Int(i),
            Val::Text(t) => Val::Text(Cow::Owned(t.into_owned())),
        }
    }
}

/// Parameters for one statement: `params![id, name, Micros::now()]`.
#[macro_export]
macro_rules! params {
    ($($v:expr),* $(,)?) => { &[$($crate::Val::from($v)),*] };
}

impl<'a> From<&'a str> for Val<'a> {
    fn from(s: &'a str) -> Self {
        Val::Text(Cow::Borrowed(s))
    }
}
impl<'a> From<&'a String> for Val<'a> {
    fn from(s: &'a String) -> Self {
        Val::Text(Cow::Borrowed(s))
    }
}
impl From<String> for Val<'_> {
    fn from(s: String) -> Self {
        Val::Text(Cow::Owned(s))
    }
}
impl From<i64> for Val<'_> {
    fn from(i: i64) -> Self {
        Val::Int(i)
    }
}
impl From<i32> for Val<'_> {
    fn from(i: i32) -> Self {
        Val::Int(i.into())
    }
}
impl From<u32> for Val<'_> {
    fn from(i: u32) -> Self {
        Val::Int(i.into())
    }
}
impl From<u64> for Val<'_> {
    /// Sizes beyond 2^63 do not occur; they would be stored as the largest number.
    fn from(i: u64) -> Self {
        Val::Int(i64::try_from(i).unwrap_or(i64::MAX))
    }
}
impl From<bool> for Val<'_> {
    fn from(b: bool) -> Self {
        Val::Int(b.into())
    }
}
impl From<Micros> for Val<'_> {
    fn from(t: Micros) -> Self {
        Val::Int(t.0)
    }
}
impl<'a, T: Into<Val<'a>>> From<Option<T>> for Val<'a> {
    fn from(v: Option<T>) -> Self {
        v.map_or(Val::Null, Into::into)
    }
}
impl<'a> From<&'a Option<String>> for Val<'a> {
    fn from(v: &'a Option<String>) -> Self {
        v.as_deref().map_or(Val::Null, Into::into)
    }
}
impl From<std::net::IpAddr> for Val<'_> {
    fn from(a: std::net::IpAddr) -> Self {
        Val::Text(Cow::Owned(a.to_string()))
    }
}

/// One row of an answer; columns by position.
pub struct Row<'a>(pub(crate) Raw<'a>);

pub(crate) enum Raw<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Pg(&'a postgres::Row),
}

impl Row<'_> {
    /// The value in column `i` (from 0).
    pub fn get<T: FromCol>(&self, i: usize) -> Result<T> {
        T::from_col(self, i)
    }
    fn int(&self, i: usize) -> Result<Option<i64>> {
        match self.0 {
            Raw::Sqlite(r) => r.get(i).map_err(Fault::internal),
            Raw::Pg(r) => r.try_get(i).map_err(Fault::internal),
        }
    }
    /// The text in column `i`, where it stands.
    pub fn text(&self, i: usize) -> Result<Option<&str>> {
        match self.0 {
            Raw::Sqlite(r) => r.get_ref(i).and_then(|v| Ok(v.as_str_or_null()?)).map_err(Fault::internal),
            Raw::Pg(r) => r.try_get(i).map_err(Fault::internal),
        }
    }
}

/// What a column can become.
pub trait FromCol: Sized {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self>;
}

fn null(i: usize) -> Fault {
    Fault::internal(format!("column {i} is null"))
}

impl FromCol for i64 {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
        row.int(i)?.ok_or_else(|| null(i))
    }
}
impl FromCol for u32 {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
        u32::try_from(row.get::<i64>(i)?).map_err(Fault::internal)
    }
}
impl FromCol for u64 {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
        u64::try_from(row.get::<i64>(i)?).map_err(Fault::internal)
    }
}
impl FromCol for bool {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
        Ok(row.get::<i64>(i)? != 0)
    }
}
impl FromCol for Micros {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
        Ok(Micros(row.get(i)?))
    }
}
impl FromCol for String {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
        row.text(i)?.map(str::to_owned).ok_or_else(|| null(i))
    }
}
impl FromCol for Option<i64> {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
        row.int(i)
    }
}
impl FromCol for Option<Micros> {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
        Ok(row.int(i)?.map(Micros))
    }
}
impl FromCol for Option<String> {
    fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
        Ok(row.text(i)?.map(str::to_owned))
    }
}
macro_rules! parsed {
    ($($t:ty),*) => {$(
        impl FromCol for $t {
            fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
                row.text(i)?.ok_or_else(|| null(i))?.parse().map_err(Fault::internal)
            }
        }
        impl FromCol for Option<$t> {
            fn from_col(row: &Row<'_>, i: usize) -> Result<Self> {
                row.text(i)?.map(|s| s.parse().map_err(Fault::internal)).transpose()
            }
        }
    )*};
}
macro_rules! uuid_ids {
    ($($t:ident),*) => {
        parsed!($(base::$t),*);
        $(impl From<base::$t> for Val<'_> {
            fn from(id: base::$t) -> Self { Val::Text(Cow::Owned(id.to_string())) }
        }
        impl From<&base::$t> for Val<'_> {
            fn from(id: &base::$t) -> Self { Val::Text(Cow::Owned(id.to_string())) }
        })*
    };
}
macro_rules! text_ids {
    ($($t:ident),*) => {$(
        impl FromCol for base::$t {
            fn from_col(row: &Row<'_>, i: usize) -> Result<Self> { Ok(Self(row.get(i)?)) }
        }
        impl FromCol for Option<base::$t> {
            fn from_col(row: &Row<'_>, i: usize) -> Result<Self> { Ok(row.text(i)?.map(|t| base::$t(t.to_owned()))) }
        }
        impl<'a> From<&'a base::$t> for Val<'a> {
            fn from(id: &'a base::$t) -> Self { Val::Text(Cow::Borrowed(&id.0)) }
        }
        impl From<base::$t> for Val<'_> {
            fn from(id: base::$t) -> Self { Val::Text(Cow::Owned(id.0)) }
        }
    )*};
}
parsed!(std::net::IpAddr);
uuid_ids!(
    ServerId,
    ImageId,
    NetworkId,
    SubnetId,
    PortId,
    RouterId,
    FloatingIpId,
    SecurityGroupId,
    SecurityGroupRuleId,
    QosPolicyId,
    QosRuleId,
    PortForwardingId,
    SubnetPoolId,
    AddressScopeId,
    AddressGroupId,
    RbacPolicyId,
    HostId,
    MachineId,
    RackId,
    SegmentId
);
text_ids!(ProjectId, UserId, RoleId, DomainId, GroupId, FlavorId, ServiceId, EndpointId, RegionId);
