//! Computers with certificates that nobody signed, as the management controllers of machines have them.

use crate::provider;
use base::{Fault, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A client configuration for whoever shows the certificate with this SHA-256 (hexadecimal, with colons or
/// without), whatever its name or age. Empty: for whoever answers; then nothing is proven.
///
/// # Errors
/// `BadRequest` for what is no SHA-256.
pub fn pinned(sha256: &str) -> Result<Arc<ClientConfig>> {
    let text: String = sha256.chars().filter(|c| *c != ':').collect();
    let wanted = match hex::decode(&text) {
        Ok(bytes) if bytes.is_empty() => None,
        Ok(bytes) => Some(<[u8; 32]>::try_from(bytes).map_err(|_| no_fingerprint(sha256))?),
        Err(_) => return Err(no_fingerprint(sha256)),
    };
    let verifier = One { wanted, algorithms: provider().signature_verification_algorithms };
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config =
        config.map_err(Fault::internal)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(config.with_no_client_auth()))
}

fn no_fingerprint(text: &str) -> Fault {
    Fault::bad_request(format!("{text:?} is no fingerprint: a SHA-256 has 64 hexadecimal digits."))
}

#[derive(Debug)]
struct One {
    wanted: Option<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for One {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown: [u8; 32] = Sha256::digest(end_entity).into();
        match self.wanted {
            Some(wanted) if wanted != shown => Err(Error::General(format!(
                "it shows another certificate than the one on record, with the SHA-256 {}",
                hex::encode(shown)
            ))),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Where any certificate will do, a short old key will too.
        match self.wanted {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(_) => verify_tls12_signature(message, certificate, signed, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.wanted {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(_) => verify_tls13_signature(message, certificate, signed, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
