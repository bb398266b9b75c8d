//! Microversions: negotiated by data, in one place.
//!
//! Source: OpenStack API reference, “Microversions” (header `OpenStack-API-Version: SERVICE X.Y`).

use base::{Fault, Kind, Result};
use http::{HeaderMap, HeaderValue, header};
use std::fmt;

/// A microversion, such as 2.60.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Version(pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let (major, minor) = text.split_once('.')?;
        let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse().ok()).flatten();
        Some(Version(number(major)?, number(minor)?))
    }
}

/// The microversions that a service speaks.
#[derive(Debug, Clone, Copy)]
pub struct Microversions {
    /// The service's name in the header, such as `compute`.
    pub service: &'static str,
    /// The older header that names only this service, if it has one.
    pub legacy_header: Option<&'static str>,
    pub min: Version,
    pub max: Version,
}

impl Microversions {
    /// The version that a request asks for; the lowest when it asks for none.
    ///
    /// # Errors
    /// 400 when it cannot be read, 406 when it is out of range.
    pub fn of(&self, headers: &HeaderMap) -> Result<Version> {
        let Some(asked) = self.asked(headers) else { return Ok(self.min) };
        if asked.eq_ignore_ascii_case("latest") {
            return Ok(self.max);
        }
        let version = Version::parse(&asked).ok_or_else(|| {
            Fault::bad_request(format!(
                "API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum."
            ))
        })?;
        if version < self.min || version > self.max {
            return Err(Fault::new(
                Kind::NotAcceptable,
                format!(
                    "Version {version} is not supported by the API. Minimum is {} and maximum is {}.",
                    self.min, self.max
                ),
            ));
        }
        Ok(version)
    }

    fn asked(&self, headers: &HeaderMap) -> Option<String> {
        let new = headers.get_all("openstack-api-version").iter().filter_map(|v| v.to_str().ok());
        for part in new.flat_map(|v| v.split(',')) {
            if let Some((service, version)) = part.trim().split_once(' ')
                && service.eq_ignore_ascii_case(self.service)
            {
                return Some(version.trim().to_owned());
            }
        }
        let legacy = headers.get(self.legacy_header?)?.to_str().ok()?;
        Some(legacy.trim().to_owned())
    }

    /// Says in the answer which version was used.
    pub fn tell(&self, version: Version, headers: &mut HeaderMap) {
        let mut vary = String::from("OpenStack-API-Version");
        if let Ok(v) = HeaderValue::from_str(&format!("{} {version}", self.service)) {
            headers.insert("openstack-api-version", v);
        }
        if let (Some(name), Ok(v)) = (self.legacy_header, HeaderValue::from_str(&version.to_string())) {
            headers.insert(name, v);
            vary = format!("{vary}, X-OpenStack-Nova-API-Version");
        }
        if let Ok(v) = HeaderValue::from_str(&vary) {
            headers.insert(header::VARY, v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPUTE: Microversions = Microversions {
        service: "compute",
        legacy_header: Some("x-openstack-nova-api-version"),
        min: Version(2, 1),
        max: Version(2, 79),
    };

    fn ask(name: &'static str, value: &'static str) -> Result<Version> {
        let mut h = HeaderMap::new();
        h.insert(name, HeaderValue::from_static(value));
        COMPUTE.of(&h)
    }

    #[test]
    fn negotiates() {
        assert_eq!(COMPUTE.of(&HeaderMap::new()).unwrap(), Version(2, 1));
        assert_eq!(ask("openstack-api-version", "compute 2.60").unwrap(), Version(2, 60));
        assert_eq!(ask("openstack-api-version", "volume 3.1, compute latest").unwrap(), Version(2, 79));
        assert_eq!(ask("openstack-api-version", "volume 3.1").unwrap(), Version(2, 1));
        assert_eq!(ask("x-openstack-nova-api-version", "2.9").unwrap(), Version(2, 9));
        assert_eq!(ask("openstack-api-version", "compute 2.999").unwrap_err().kind, Kind::NotAcceptable);
        assert_eq!(ask("openstack-api-version", "compute two").unwrap_err().kind, Kind::BadRequest);
        assert_eq!(ask("openstack-api-version", "compute 2.+1").unwrap_err().kind, Kind::BadRequest);
    }
}
