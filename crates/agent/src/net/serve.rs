//! The servers inside the namespaces: DHCP, router advertisements and metadata.
//!
//! Each namespace has one set; it lives as long as its namespace and reads the newest view through a
//! channel, so a changed document needs no restart. Dropping the set ends its tasks.

use super::view::{Directory, NetView};
use super::{dhcp4, http, sockets};
use base::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Larger than any DHCP message that a guest has a reason to send.
const PACKET_MAX: usize = 4096;
/// After an error of a socket, so that a broken one does not take a core.
const PAUSE: Duration = Duration::from_millis(100);

/// The servers of one network.
pub struct NetServers {
    view: watch::Sender<Arc<NetView>>,
    directory: watch::Sender<Arc<Directory>>,
    _tasks: JoinSet<()>,
}

impl NetServers {
    pub fn start(ns: &str, view: Arc<NetView>) -> Result<Self> {
        let directory = watch::Sender::new(Arc::new(view.directory.clone()));
        let view = watch::Sender::new(view);
        let mut tasks = JoinSet::new();
        tasks.spawn(run_dhcp4(UdpSocket::from_std(sockets::dhcp4(ns)?)?, view.subscribe()));
        for listener in sockets::http(ns, true)? {
            tasks.spawn(http::serve(TcpListener::from_std(listener)?, directory.subscribe()));
        }
        Ok(NetServers { view, directory, _tasks: tasks })
    }

    /// Ends the tasks and waits until their sockets are closed.
    #[cfg(test)]
    pub async fn stop(mut self) {
        self._tasks.shutdown().await;
    }

    pub fn update(&self, view: Arc<NetView>) {
        let directory = Arc::new(view.directory.clone());
        self.directory.send_if_modified(|old| replace(old, directory));
        self.view.send_if_modified(|old| replace(old, view));
    }
}

fn replace<T: PartialEq>(old: &mut Arc<T>, new: Arc<T>) -> bool {
    let differs = **old != *new;
    *old = new;
    differs
}

async fn run_dhcp4(socket: UdpSocket, view: watch::Receiver<Arc<NetView>>) {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        let length = match socket.recv_from(&mut packet).await {
            Ok((length, _)) => length,
            Err(e) => {
                tracing::warn!(error = %e, "DHCP cannot receive");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let now = view.borrow().clone();
        if let Some((reply, to)) = dhcp4::answer(&now, &packet[..length])
            && let Err(e) = socket.send_to(&reply, to).await
        {
            tracing::warn!(error = %e, %to, "a DHCP answer could not be sent");
        }
    }
}
