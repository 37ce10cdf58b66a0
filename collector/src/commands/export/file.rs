//! Where an export goes: standard output, or a file that is there once it is whole.

use anyhow::Context;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

const BUFFER_BYTES: usize = 256 << 10;

/// An open output.
pub(super) enum Output {
    Stdout(BufWriter<StdoutLock<'static>>),
    /// A device or a pipe, which cannot be replaced.
    Special(BufWriter<File>, PathBuf),
    /// A file of a name of its own until it is whole.
    New(BufWriter<NamedTempFile>, PathBuf),
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout(BufWriter::with_capacity(
                BUFFER_BYTES,
                io::stdout().lock(),
            )));
        };
        let opening = || format!("cannot write {}", path.display());
        let is_special = path.metadata().is_ok_and(|there| !there.is_file());
        if is_special {
            let file = File::options().write(true).open(path).with_context(opening)?;
            let file = BufWriter::with_capacity(BUFFER_BYTES, file);
            return Ok(Self::Special(file, path.to_owned()));
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let file = tempfile::Builder::new()
            .prefix(".rondo-export-")
            // As any new file, what the umask leaves of it.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory.unwrap_or(Path::new(".")))
            .with_context(opening)?;
        Ok(Self::New(
            BufWriter::with_capacity(BUFFER_BYTES, file),
            path.to_owned(),
        ))
    }

    /// Writes what is left, and gives a file its name.
    pub(super) fn complete(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush()?,
            Self::Special(mut out, path) => {
                out.flush()
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            Self::New(out, path) => {
                let writing = || format!("cannot write {}", path.display());
                let file = out
                    .into_inner()
                    .map_err(io::IntoInnerError::into_error)
                    .with_context(writing)?;
                file.as_file().sync_data().with_context(writing)?;
                file.persist(&path).with_context(writing)?;
            }
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::Special(out, _) => out.write(bytes),
            Self::New(out, _) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Special(out, _) => out.flush(),
            Self::New(out, _) => out.flush(),
        }
    }
}
