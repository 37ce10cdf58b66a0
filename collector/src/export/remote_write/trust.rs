//! TLS of a destination: whom it trusts, and who it says it is.
//!
//! Without a `ca_file` the authorities of the system are trusted, or those that the variables `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name instead, as with OpenSSL. Files are read when a client is made. A key that does not fit its certificate is found out then, too: later, `ureq` would
//! panic over it.

use super::Tls;
use crate::export::regular;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

/// More than all authorities of a system have.
const BYTES_MAX: u64 = 16 << 20;

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file of the settings.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that has not what it should have.
    #[error("{} has no {what} in PEM", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// One without the other.
    #[error("`cert_file` and `key_file` go together, and {missing} is missing")]
    Half {
        /// Which.
        missing: &'static str,
    },
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate in {} and the key in {} cannot be used", cert.display(), key.display())]
    Client {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Nothing to trust.
    #[error(
        "this system has no certificates of authorities; install them (ca-certificates), or name one as `ca_file`"
    )]
    NoRoots,
}

/// What `ureq` needs. The system's certificates are only looked for where they are needed: for `https` without a `ca_file`.
pub(super) fn config(tls: &Tls, https: bool) -> Result<TlsConfig, TrustError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match &tls.ca_file {
        Some(path) => certificates(path)?,
        None if https && !tls.insecure_skip_verify => system()?,
        None => Vec::new(),
    };
    let roots: Vec<Certificate<'static>> = roots.iter().map(owned).collect();
    let config = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&roots))
        .disable_verification(tls.insecure_skip_verify)
        .client_cert(client(tls, &provider)?)
        .unversioned_rustls_crypto_provider(provider);
    Ok(config.build())
}

fn owned(certificate: &CertificateDer<'_>) -> Certificate<'static> {
    Certificate::from_der(certificate).to_owned()
}

/// Some of a system's certificates may be unreadable; all that matters is whether any is left.
fn system() -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(TrustError::NoRoots);
    }
    Ok(found.certs)
}

fn client(
    tls: &Tls,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Option<ClientCert>, TrustError> {
    let (cert, key) = match (&tls.cert_file, &tls.key_file) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        (None, Some(_)) => {
            return Err(TrustError::Half {
                missing: "`cert_file`",
            });
        }
        (Some(_), None) => {
            return Err(TrustError::Half {
                missing: "`key_file`",
            });
        }
    };
    let chain = certificates(cert)?;
    let pem = read(key)?;
    let no_key = || TrustError::Pem {
        path: key.clone(),
        what: "private key",
    };
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| no_key())?;
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let builder = builder.with_root_certificates(RootCertStore::empty());
            builder.with_client_auth_cert(chain.clone(), der)
        })
        .map_err(|source| TrustError::Client {
            cert: cert.clone(),
            key: key.clone(),
            source,
        })?;
    let private = PrivateKey::from_pem(&pem).map_err(|_| no_key())?;
    let chain: Vec<Certificate<'static>> = chain.iter().map(owned).collect();
    Ok(Some(ClientCert::new_with_certs(&chain, private)))
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    let mut content = Vec::new();
    regular::read(path)
        .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut content))
        .map_err(|source| TrustError::Read {
            path: path.to_owned(),
            source,
        })?;
    Ok(content)
}

/// All of the file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TrustError::Pem {
            path: path.to_owned(),
            what: "certificate",
        }),
    }
}

/// What to do about a handshake that failed, in words for the person who set the destination up.
pub(super) fn explain(error: &rustls::Error, host: &str) -> String {
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
    match error {
        // A bad signature is that of an authority with the name of one that is trusted.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!(
                "the certificate of {host} is signed by no authority that is trusted here; name the authority's certificate as `ca_file`"
            )
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "the certificate of {host} is for another name; set `url` to a name that it is for, or give the server one for {host} ({error})"
        ),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            format!(
                "the certificate of {host} has expired; give the server a new one, or set this clock ({error})"
            )
        }
        Error::InvalidCertificate(_) => format!("the certificate of {host} cannot be trusted: {error}"),
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => {
            format!("{host} wants a client's certificate; set `cert_file` and `key_file` ({error})")
        }
        Error::AlertReceived(AlertDescription::UnknownCA) => {
            format!("{host} does not trust the authority of the certificate in `cert_file`")
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            format!("{host} does not speak TLS there; is `url` to begin with http://?")
        }
        _ => format!("no secure connection to {host}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

    #[test]
    fn each_broken_handshake_says_what_to_do() {
        let certificate = Error::InvalidCertificate;
        for (error, advice) in [
            (certificate(CertificateError::UnknownIssuer), "`ca_file`"),
            (certificate(CertificateError::BadSignature), "`ca_file`"),
            (certificate(CertificateError::NotValidForName), "`url`"),
            (
                certificate(CertificateError::Expired),
                "give the server a new one",
            ),
            (certificate(CertificateError::Revoked), "cannot be trusted"),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                "`key_file`",
            ),
            (Error::AlertReceived(AlertDescription::UnknownCA), "`cert_file`"),
            (InvalidMessage::InvalidContentType.into(), "http://"),
            (Error::DecryptError, "no secure connection"),
        ] {
            let text = explain(&error, "metrics.example");
            assert!(
                text.contains(advice) && text.contains("metrics.example"),
                "{text}"
            );
        }
    }
}
