//! A socket that listens: at an address, or in the file system for its owner and group.

use super::server::ServeError;
use crate::collect::Listen;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a socket, removed with it if it is still the same.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    pub(super) async fn bind(listen: &Listen) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Bind {
            at: listen.clone(),
            source,
        };
        match listen {
            Listen::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp).map_err(failed),
            Listen::Unix(path) => {
                make_way(path).await?;
                let (listener, file) = bind_unix(path).map_err(failed)?;
                Ok(Self::Unix(listener, file))
            }
            Listen::Nowhere => Err(ServeError::Nowhere),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, file) => Ok(Listen::Unix(file.path.clone())),
        }
    }
}

/// Makes sure that nothing is at `path` but what a dead process has left.
async fn make_way(path: &Path) -> Result<(), ServeError> {
    match std::fs::symlink_metadata(path) {
        // Where the file cannot even be looked at, binding will say why.
        Err(_) => Ok(()),
        Ok(there) if !there.file_type().is_socket() => Err(ServeError::NotASocket(path.to_owned())),
        // Only a refusal proves that nobody listens.
        Ok(_) => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            _ => Err(ServeError::InUse(path.to_owned())),
        },
    }
}

/// Binds under another name first, so that the socket gets its name with its mode, and replaces a dead one at once.
fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    let made = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let _ = std::fs::remove_file(&made);
    let listener = UnixListener::bind(&made)?;
    let named = std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o660))
        .and_then(|()| std::fs::rename(&made, path))
        .and_then(|()| std::fs::symlink_metadata(path));
    if named.is_err() {
        let _ = std::fs::remove_file(&made);
    }
    let (path, inode) = (path.to_owned(), named?.ino());
    Ok((listener, SocketFile { path, inode }))
}
