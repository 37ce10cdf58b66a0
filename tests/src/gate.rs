//! An address at which nothing listens until it is opened; from then on it leads to a server.
//!
//! So a server can be up for others, and down for who comes this way.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A way to a server.
pub struct Gate {
    address: SocketAddr,
    is_dropped: Arc<AtomicBool>,
}

impl Gate {
    /// One that is shut.
    #[allow(clippy::new_without_default, reason = "it takes an address")]
    pub fn new() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self {
            address,
            is_dropped: Arc::default(),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens it to a server, for good.
    pub fn open(&self, server: SocketAddr) {
        let listener = TcpListener::bind(self.address).unwrap();
        let is_dropped = self.is_dropped.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if is_dropped.load(Ordering::Relaxed) {
                    return;
                }
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || copy(client, server));
                std::thread::spawn(move || copy(from_server, to_client));
            }
        });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// What one says to the other, until it has no more to say.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = to.set_nodelay(true);
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
