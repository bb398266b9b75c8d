//! The region's certificate authority: it signs the region's own processes and the hosts.

use crate::{HOST, REGION, host_name, provider};
use base::{Fault, HostId, Micros, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long the authority itself is good.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Certificates count from a little earlier, for clocks that are behind.
const EARLIER: Duration = Duration::from_secs(24 * 3600);
/// Hexadecimal digits of a fingerprint: 160 bits of a SHA-256.
const FINGERPRINT: usize = 40;

/// What tells an authority from every other, short enough for an invitation.
pub fn fingerprint(der: &[u8]) -> String {
    let mut text = hex::encode(Sha256::digest(der));
    text.truncate(FINGERPRINT);
    text
}

pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// The key of this process.
    own: KeyPair,
    life: Duration,
}

impl Authority {
    /// A new authority, as certificate and private key in PEM.
    pub fn make() -> Result<(String, String)> {
        let key = KeyPair::generate().map_err(Fault::internal)?;
        let mut params = authority_params();
        valid(&mut params, AUTHORITY_LIFE);
        let certificate = params.self_signed(&key).map_err(Fault::internal)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// `life` is how long the certificates are good that it signs.
    ///
    /// # Errors
    /// When certificate or key cannot be read.
    pub fn open(pem: &str, key: &str, life: Duration) -> Result<Authority> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(Fault::internal)?;
        let key = KeyPair::from_pem(key).map_err(Fault::internal)?;
        let issuer = Issuer::new(authority_params(), key);
        let own = KeyPair::generate().map_err(Fault::internal)?;
        Ok(Authority { pem: pem.to_owned(), der, issuer, own, life })
    }

    /// The certificate that clients and hosts trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.der)
    }
    /// How long its certificates are good.
    pub fn life(&self) -> Duration {
        self.life
    }
    pub(crate) fn roots(&self) -> Result<Arc<RootCertStore>> {
        roots_of(&self.pem)
    }

    /// A certificate for a host, in PEM. `public_key` is what [`crate::public_key`] says.
    ///
    /// # Errors
    /// `BadRequest` for what is no key on the curve P-256.
    pub fn host_certificate(&self, host: HostId, public_key: &str) -> Result<String> {
        let key = RawKey::read(public_key)?;
        let params = self.leaf(vec![host_name(host), HOST.to_owned()], &format!("host {host}"))?;
        Ok(params.signed_by(&key, &self.issuer).map_err(Fault::internal)?.pem())
    }

    /// A certificate for this process, under `names` and an address by which clients reach it.
    pub(crate) fn own_certificate(&self, address: Option<IpAddr>, names: &[String]) -> Result<CertifiedKey> {
        let fixed = [REGION, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut all: Vec<String> = fixed.into_iter().chain(names.iter().cloned()).collect();
        all.extend(address.map(|a| a.to_canonical().to_string()));
        all.sort();
        all.dedup();
        let params = self.leaf(all, "Hanok region")?;
        let certificate = params.signed_by(&self.own, &self.issuer).map_err(Fault::internal)?;
        let chain = vec![certificate.der().clone(), self.der.clone()];
        let key = PrivateKeyDer::try_from(self.own.serialize_der()).map_err(Fault::internal)?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(Fault::internal)
    }

    fn leaf(&self, names: Vec<String>, subject: &str) -> Result<CertificateParams> {
        let mut params = CertificateParams::new(names).map_err(Fault::internal)?;
        valid(&mut params, self.life);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

/// The same at every start, because what it signs names it.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Hanok region CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// From when until when a certificate is good, in the words of the crate that writes it.
fn valid(params: &mut CertificateParams, life: Duration) {
    let now = u64::try_from(Micros::wall().0 / 1_000_000).unwrap_or(0);
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now);
    params.not_before = now - EARLIER;
    params.not_after = now + life;
}

pub(crate) fn roots_of(pem: &str) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(Fault::internal)?).map_err(Fault::internal)?;
    }
    Ok(Arc::new(roots))
}

/// Somebody else's public key.
struct RawKey(Vec<u8>);

impl RawKey {
    fn read(text: &str) -> Result<RawKey> {
        let bytes = hex::decode(text).ok().filter(|b| b.len() == 65 && b[0] == 4);
        bytes.map(RawKey).ok_or_else(|| Fault::bad_request("This is no public key on the curve P-256."))
    }
}

impl PublicKeyData for RawKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The hash by which the region knows a key; see [`crate::proof_of`].
pub(crate) fn proof(key: &impl PublicKeyData) -> String {
    hex::encode(Sha256::digest(key.subject_public_key_info()))
}

pub(crate) fn proof_of_raw(public_key: &str) -> Result<String> {
    Ok(proof(&RawKey::read(public_key)?))
}
