//! What people's own calls trust: the file that `clouds.yaml` names, else what the system trusts.

use crate::authority::roots_of;
use crate::provider;
use base::{Fault, Result};
use rustls::ClientConfig;
use std::path::Path;
use std::sync::Arc;

/// Where systems keep what they trust: Debian and its kin, then Red Hat's.
const SYSTEM: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// # Errors
/// `BadRequest` when the file cannot be used, with its name.
pub fn client_config(authority: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let system = || SYSTEM.iter().map(Path::new).find(|f| f.exists());
    let roots = match authority.or_else(system) {
        Some(file) => {
            let wrong = |why: String| {
                Fault::bad_request(format!("The certificates in {} cannot be used: {why}.", file.display()))
            };
            let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
            roots_of(&text).map_err(|f| wrong(f.cause.unwrap_or(f.message)))?
        }
        None => Arc::new(rustls::RootCertStore::empty()),
    };
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.map_err(Fault::internal)?.with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}
