//! A host's own key and certificate. The certificate is replaced while everything runs.

use crate::authority::{proof_of_raw, roots_of};
use crate::provider;
use base::{Fault, Result};
use rcgen::KeyPair;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::{Arc, PoisonError, RwLock};

/// A new private key in PEM.
pub fn new_key() -> Result<String> {
    Ok(KeyPair::generate().map_err(Fault::internal)?.serialize_pem())
}

/// The public half of a private key, as it is told to the region.
pub fn public_key(key: &str) -> Result<String> {
    Ok(hex::encode(KeyPair::from_pem(key).map_err(Fault::internal)?.public_key_raw()))
}

/// Lower-case hexadecimal SHA-256 of a public key (its SubjectPublicKeyInfo, RFC 5280): by this the region
/// knows who has the private half.
///
/// # Errors
/// `BadRequest` for what is no key on the curve P-256.
pub fn proof_of(public_key: &str) -> Result<String> {
    proof_of_raw(public_key)
}

/// What a host shows of itself, and whom it trusts.
pub struct HostKeys {
    key: String,
    roots: Arc<RootCertStore>,
    shown: Arc<Shown>,
}

impl HostKeys {
    /// All in PEM.
    ///
    /// # Errors
    /// When one of them cannot be read, or certificate and key do not belong together.
    pub fn open(key: &str, certificate: &str, authority: &str) -> Result<HostKeys> {
        let shown = Shown { key: Arc::new(RwLock::new(Arc::new(certified(key, certificate)?))) };
        Ok(HostKeys { key: key.to_owned(), roots: roots_of(authority)?, shown: Arc::new(shown) })
    }

    /// Shows another certificate from now on.
    pub fn replace(&self, certificate: &str) -> Result<()> {
        let new = Arc::new(certified(&self.key, certificate)?);
        *self.shown.key.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// For calls to the region and to other hosts.
    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        client(self.roots.clone(), self.shown.clone())
    }

    /// For calls from the region and from other hosts; nobody else gets in.
    pub fn server(&self) -> Result<Arc<ServerConfig>> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider());
        let verifier = verifier.build().map_err(Fault::internal)?;
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.map_err(Fault::internal)?.with_client_cert_verifier(verifier);
        Ok(Arc::new(config.with_cert_resolver(self.shown.clone())))
    }
}

/// What the region shows of itself is made by [`crate::Front`]; a host's comes from here.
#[derive(Debug)]
struct Shown {
    key: Arc<RwLock<Arc<CertifiedKey>>>,
}

impl Shown {
    fn now(&self) -> Arc<CertifiedKey> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

pub(crate) fn client(
    roots: Arc<RootCertStore>,
    shown: Arc<dyn ResolvesClientCert>,
) -> Result<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.map_err(Fault::internal)?.with_root_certificates(roots);
    Ok(Arc::new(config.with_client_cert_resolver(shown)))
}

fn certified(key: &str, certificate: &str) -> Result<CertifiedKey> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(Fault::internal)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(Fault::internal)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(Fault::internal)
}

/// The hash by which the region knows the key of whoever shows this certificate.
pub(crate) fn proof_of_certificate(certificate: &CertificateDer<'_>) -> Option<String> {
    use sha2::{Digest, Sha256};
    let parsed = rustls::server::ParsedCertificate::try_from(certificate).ok()?;
    Some(hex::encode(Sha256::digest(parsed.subject_public_key_info())))
}

/// A key pair's proof, for the test that both ways agree.
#[cfg(test)]
pub(crate) fn proof_of_key(key: &str) -> String {
    crate::authority::proof(&KeyPair::from_pem(key).unwrap())
}
