//! The byte server.
use crate::host::Host;
use std::sync::Arc;
pub async fn serve(_host: Arc<Host>, _listener: tokio::net::TcpListener, _token: String) {
    std::future::pending::<()>().await;
}
