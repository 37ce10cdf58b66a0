//! Files at paths that settings or a directory name, where anything may stand by now.
//!
//! Only regular files are opened: a pipe would make the thread wait for whoever is at its other end, which may be nobody.

use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file of our own: not where a link of somebody's leads to, and nobody else's to read.
pub(crate) fn own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    open(path, options.mode(0o600), OFlag::O_NOFOLLOW)
}

/// A file to be read.
#[cfg(feature = "cli")]
pub(crate) fn read(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true), OFlag::empty())
}

fn open(path: &Path, options: &mut OpenOptions, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = options.custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn only_a_regular_file_is_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        std::fs::write(at("file"), "x").unwrap();
        symlink(at("file"), at("link")).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        for name in ["pipe", "directory", "link"] {
            assert!(own(&at(name), &mut options).is_err(), "{name}");
        }
        for name in ["pipe", "directory"] {
            assert!(read(&at(name)).is_err(), "{name}");
        }
        // Where secrets are mounted, they are links.
        assert!(read(&at("link")).is_ok() && own(&at("file"), &mut options).is_ok());
        let new = own(&at("new"), &mut options).unwrap();
        assert_eq!(new.metadata().unwrap().mode() & 0o777, 0o600);
    }
}
