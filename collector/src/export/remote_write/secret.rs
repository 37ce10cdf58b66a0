//! The secrets of a destination, read from their files for each request, so that one that is changed in time never fails.

use super::Auth;
use crate::export::regular;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Read;
use std::path::Path;
use ureq::http::HeaderValue;

/// More than any secret has.
const BYTES_MAX: u64 = 64 << 10;

/// The `Authorization` header, if there is to be one; else what keeps it from being made.
pub(super) fn authorization(auth: &Auth) -> Result<Option<HeaderValue>, String> {
    let (text, path) = match auth {
        Auth::None => return Ok(None),
        Auth::Basic { user, password_file } => {
            let password = read(password_file)?;
            (
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
                password_file,
            )
        }
        Auth::Bearer { token_file } => (format!("Bearer {}", read(token_file)?), token_file),
    };
    let mut header = HeaderValue::from_str(&text)
        .map_err(|_| format!("{} has characters that no header may have", path.display()))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// The content of the file without the line's end.
fn read(path: &Path) -> Result<String, String> {
    let mut content = String::new();
    regular::read(path)
        .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut content))
        .map_err(|error| format!("cannot read the secret in {}: {error}", path.display()))?;
    let secret = content.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(format!("the secret in {} is empty", path.display()));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As from anything that a file may not be: the error says so, and the thread goes on.
    #[test]
    fn a_secret_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("pipe");
        nix::unistd::mkfifo(&token_file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = authorization(&Auth::Bearer { token_file }).unwrap_err();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn secrets_are_read_anew_and_without_the_end_of_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let basic = Auth::Basic {
            user: "Aladdin".into(),
            password_file: path.clone(),
        };
        let bearer = Auth::Bearer {
            token_file: path.clone(),
        };
        let error = authorization(&bearer).unwrap_err();
        assert!(
            error.contains("secret") && error.contains("No such file"),
            "{error}"
        );
        // The example of RFC 7617.
        std::fs::write(&path, "open sesame\n").unwrap();
        let header = authorization(&basic).unwrap().unwrap();
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(header.is_sensitive());
        std::fs::write(&path, "t0ken\r\n").unwrap();
        assert_eq!(authorization(&bearer).unwrap().unwrap(), "Bearer t0ken");
        std::fs::write(&path, "two\nlines\n").unwrap();
        assert!(authorization(&bearer).unwrap_err().contains("no header"));
        std::fs::write(&path, "\n").unwrap();
        assert!(authorization(&bearer).unwrap_err().contains("empty"));
        assert_eq!(authorization(&Auth::None).unwrap(), None);
    }
}
