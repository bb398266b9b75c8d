//! TLS on the region's one port.
//!
//! Hosts ask for [`REGION`] by name and show their certificate there; everybody else gets the certificate
//! that was configured, or one of our own for the address that they called, and is asked for none.

use crate::authority::Authority;
use crate::keys::{self, proof_of_certificate};
use crate::{REGION, Stream, plain, provider};
use base::{Fault, Micros, Result};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Certificates for so many addresses are kept; there are few, unless somebody makes them up.
const KEPT: usize = 256;

/// What is known of who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// The hash of the key of the certificate that was shown, if one was.
    pub proof: Option<String>,
}

/// A certificate from elsewhere for people and browsers, looked at again when the files change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

pub struct Front {
    own: Arc<Own>,
    hosts: Arc<ServerConfig>,
    files: Option<Files>,
    /// What was read of the files, and when they were written.
    read: Mutex<Option<(SystemTime, Arc<ServerConfig>)>>,
    people: Mutex<HashMap<IpAddr, Arc<ServerConfig>>>,
}

impl Front {
    /// `names` are further names by which people reach the region.
    ///
    /// # Errors
    /// `BadRequest` when the files cannot be used.
    pub fn new(authority: Arc<Authority>, names: Vec<String>, files: Option<Files>) -> Result<Front> {
        let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots()?, provider())
            .allow_unauthenticated()
            .build()
            .map_err(Fault::internal)?;
        let own = Arc::new(Own { authority, names, made: Mutex::default() });
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.map_err(Fault::internal)?.with_client_cert_verifier(verifier);
        let hosts = Arc::new(config.with_cert_resolver(Arc::new(OwnFor(own.clone(), None))));
        let front = Front { own, hosts, files, read: Mutex::default(), people: Mutex::default() };
        front.configured()?;
        Ok(front)
    }

    /// For calls of the region to hosts: shows the region's certificate.
    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        keys::client(self.own.authority.roots()?, Arc::new(OwnFor(self.own.clone(), None)))
    }

    /// The handshake. Whoever speaks plain HTTP is told where to go.
    ///
    /// # Errors
    /// When the other side does not speak TLS, or not with us.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(Stream, Peer)> {
        let shaken = tokio::time::timeout(PATIENCE, self.shake(stream)).await;
        shaken.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no handshake"))?
    }

    async fn shake(&self, stream: TcpStream) -> io::Result<(Stream, Peer)> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
            plain::answer(stream).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP"));
        }
        let address = stream.local_addr()?.ip();
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let config = if begun.client_hello().server_name() == Some(REGION) {
            self.hosts.clone()
        } else {
            self.for_people(address).map_err(|f| io::Error::other(f.to_string()))?
        };
        let stream = begun.into_stream(config).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|c| c.first());
        let peer = Peer { proof: shown.and_then(proof_of_certificate) };
        Ok((Stream::Tls(Box::new(stream.into())), peer))
    }

    fn for_people(&self, address: IpAddr) -> Result<Arc<ServerConfig>> {
        if let Some(config) = self.configured()? {
            return Ok(config);
        }
        let mut kept = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = kept.get(&address) {
            return Ok(config.clone());
        }
        let config = server(Arc::new(OwnFor(self.own.clone(), Some(address))))?;
        if kept.len() < KEPT {
            kept.insert(address, config.clone());
        }
        Ok(config)
    }

    /// The configured certificate. One that went bad while we run is said once, and the last good one stays.
    fn configured(&self) -> Result<Option<Arc<ServerConfig>>> {
        let Some(files) = &self.files else { return Ok(None) };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let written = files.written();
        if let (Some((at, config)), Ok(now)) = (&*read, &written)
            && at == now
        {
            return Ok(Some(config.clone()));
        }
        let fresh = written.and_then(|at| Ok((at, files.load()?)));
        match (fresh, &mut *read) {
            (Ok(fresh), read) => {
                let config = fresh.1.clone();
                *read = Some(fresh);
                Ok(Some(config))
            }
            (Err(fault), Some((at, config))) => {
                tracing::error!(%fault, "the new certificate cannot be used, the old one stays");
                *at = files.written().unwrap_or(*at);
                Ok(Some(config.clone()))
            }
            (Err(fault), None) => Err(fault),
        }
    }
}

impl Files {
    fn wrong(&self, why: impl std::fmt::Display) -> Fault {
        Fault::bad_request(format!(
            "tls_cert {} and tls_key {} cannot be used: {why}.",
            self.certificate.display(),
            self.key.display()
        ))
    }
    fn written(&self) -> Result<SystemTime> {
        let at = |file: &PathBuf| std::fs::metadata(file)?.modified();
        at(&self.certificate).and_then(|a| Ok(a.max(at(&self.key)?))).map_err(|e| self.wrong(e))
    }
    fn load(&self) -> Result<Arc<ServerConfig>> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|e| self.wrong(e))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| self.wrong(e))?;
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.map_err(Fault::internal)?.with_no_client_auth();
        config.with_single_cert(chain, key).map(Arc::new).map_err(|e| self.wrong(e))
    }
}

fn server(shown: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>> {
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    Ok(Arc::new(config.map_err(Fault::internal)?.with_no_client_auth().with_cert_resolver(shown)))
}

/// A certificate of our own, and when it was made.
type Made = (Micros, Arc<CertifiedKey>);

/// Our own certificates, made anew at two thirds of their life, and when the clock was set back: what was made in
/// what is now the future may not be good yet.
struct Own {
    authority: Arc<Authority>,
    names: Vec<String>,
    made: Mutex<HashMap<Option<IpAddr>, Made>>,
}

impl Own {
    fn get(&self, address: Option<IpAddr>, now: Micros) -> Option<Arc<CertifiedKey>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, key)) = made.get(&address)
            && *at <= now
            && now.since(*at) < self.authority.life() * 2 / 3
        {
            return Some(key.clone());
        }
        match self.authority.own_certificate(address, &self.names) {
            Ok(key) => {
                let key = Arc::new(key);
                if made.len() < KEPT || made.contains_key(&address) {
                    made.insert(address, (now, key.clone()));
                }
                Some(key)
            }
            Err(fault) => {
                tracing::error!(%fault, "no certificate could be made");
                None
            }
        }
    }
}

/// The certificate for one address.
struct OwnFor(Arc<Own>, Option<IpAddr>);

impl std::fmt::Debug for OwnFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnFor({:?})", self.1)
    }
}

impl ResolvesServerCert for OwnFor {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get(self.1, Micros::wall())
    }
}

impl ResolvesClientCert for OwnFor {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.get(self.1, Micros::wall())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_makes_another_certificate() {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let (certificate, key) = Authority::make().unwrap();
        let authority = Arc::new(Authority::open(&certificate, &key, DAY * 90).unwrap());
        let own = Own { authority, names: vec![], made: Mutex::default() };
        let now = Micros::wall();
        let get = |now| own.get(None, now).unwrap();
        let ahead = get(now.plus(DAY * 30));
        assert!(Arc::ptr_eq(&ahead, &get(now.plus(DAY * 31))));
        let right = get(now);
        assert!(!Arc::ptr_eq(&ahead, &right), "made in the future");
        assert!(Arc::ptr_eq(&right, &get(now.plus(DAY * 59))));
        assert!(!Arc::ptr_eq(&right, &get(now.plus(DAY * 60))), "at two thirds of its life");
    }
}
