//! One address before several processes: connections go to one after the other, and past those that do not
//! answer, as a load balancer's would.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub struct Proxy {
    pub to: SocketAddr,
    open: Arc<AtomicBool>,
}

impl Proxy {
    pub fn before(targets: Vec<SocketAddr>) -> Proxy {
        Proxy::at("127.0.0.1:0".parse().unwrap(), targets)
    }

    /// The same at an address of one's own.
    pub fn at(to: SocketAddr, targets: Vec<SocketAddr>) -> Proxy {
        let listener = TcpListener::bind(to).unwrap();
        let to = listener.local_addr().unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let (alive, next) = (open.clone(), AtomicUsize::new(0));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !alive.load(Ordering::Relaxed) {
                    return;
                }
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let order = (0..targets.len()).map(|n| targets[(turn + n) % targets.len()]);
                let there =
                    order.filter_map(|t| TcpStream::connect_timeout(&t, Duration::from_secs(1)).ok()).next();
                // With nobody behind it, the connection ends.
                let Some(there) = there else { continue };
                let (Ok(here2), Ok(there2)) = (stream.try_clone(), there.try_clone()) else { continue };
                thread::spawn(move || pass(stream, there));
                thread::spawn(move || pass(there2, here2));
            }
        });
        Proxy { to, open }
    }
}

/// Passes bytes one way until either side ends.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.open.store(false, Ordering::Relaxed);
        let _ = TcpStream::connect(self.to);
    }
}
