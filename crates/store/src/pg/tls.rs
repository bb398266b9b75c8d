//! TLS to PostgreSQL, over rustls.
//!
//! `sslmode` in the address: `disable`; `prefer` (the default: encrypted where the server can); `require`
//! (always encrypted, but nobody checks to whom); `verify-full` (also checks the server's certificate and name,
//! against `sslrootcert=FILE` or the system's authorities).

use base::{Fault, Kind, Result};
use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Takes what is ours out of the address: what is left, and how to make TLS.
///
/// # Errors
/// `BadRequest` for a mode that there is not, and for certificates that cannot be read.
pub fn of(url: &str) -> Result<(String, Tls)> {
    let (address, query) = url.split_once('?').map_or((url, ""), |(a, q)| (a, q));
    let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
    for part in query.split('&').filter(|p| !p.is_empty()) {
        match part.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => roots = Some(value.replace("%2F", "/").replace("%2f", "/")),
            _ => rest.push(part.to_owned()),
        }
    }
    let config = match mode.as_deref() {
        Some("verify-full") => {
            mode = Some("require".into());
            verified(Path::new(roots.as_deref().unwrap_or(SYSTEM)))?
        }
        Some("disable" | "prefer" | "require") | None => unverified()?,
        Some(other) => {
            return Err(Fault::bad_request(format!(
                "sslmode is disable, prefer, require or verify-full, not {other:?}."
            )));
        }
    };
    rest.extend(mode.map(|m| format!("sslmode={m}")));
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    Ok((format!("{address}{query}"), Tls(Arc::new(config))))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn verified(roots: &Path) -> Result<ClientConfig> {
    let unreadable = |e: &dyn std::fmt::Display| {
        Fault::new(Kind::BadRequest, format!("sslrootcert {} cannot be used: {e}.", roots.display()))
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots).map_err(|e| unreadable(&e))? {
        store.add(certificate.map_err(|e| unreadable(&e))?).map_err(|e| unreadable(&e))?;
    }
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    Ok(config.map_err(Fault::internal)?.with_root_certificates(store).with_no_client_auth())
}

fn unverified() -> Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let anybody = Arc::new(Anybody(provider()));
    let config = config.map_err(Fault::internal)?.dangerous().with_custom_certificate_verifier(anybody);
    Ok(config.with_no_client_auth())
}

/// Takes every certificate, as `require` and `prefer` ask for.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes TLS connections.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = Connect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Connect> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Connect { connector: TlsConnector::from(self.0.clone()), name })
    }
}

pub struct Connect {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for Connect {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { self.connector.connect(self.name, socket).await.map(Stream) })
    }
}

pub struct Stream(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_says_how() {
        let left = |url: &str| of(url).map(|(left, _)| left).map_err(|f| f.message);
        assert_eq!(left("postgres://h@db/x").unwrap(), "postgres://h@db/x");
        assert_eq!(
            left("postgres://h@db/x?sslmode=require&a=b").unwrap(),
            "postgres://h@db/x?a=b&sslmode=require"
        );
        if Path::new(SYSTEM).exists() {
            assert_eq!(
                left("postgres://db/x?sslmode=verify-full").unwrap(),
                "postgres://db/x?sslmode=require"
            );
        }
        assert!(
            left("postgres://db/x?sslmode=verify-full&sslrootcert=/nowhere.pem")
                .unwrap_err()
                .contains("/nowhere.pem")
        );
        assert!(left("postgres://db/x?sslmode=maybe").unwrap_err().contains("verify-full"));
    }
}
