//! The files of TLS between us and Redis. They are read for every connection, so that
//! renewed ones are taken without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
};

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{error::Error, url::RedisUrl};

/// Whom we trust and who we are, as PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Who signs the certificates of Redis; none: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Our certificate, with those between it and its CA; none: we show none.
    pub cert: Option<PathBuf>,
    /// The key of our certificate.
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether they fit together, and to `url`.
    ///
    /// # Errors
    /// [`Error::Tls`], which names the setting.
    pub(super) fn check(&self, url: &RedisUrl) -> Result<(), Error> {
        if url.is_tls() {
            return self.read().map(drop);
        }
        let given =
            [("redis_ca_file", &self.ca), ("redis_cert_file", &self.cert), ("redis_key_file", &self.key)];
        match given.iter().find(|(_, file)| file.is_some()) {
            Some((setting, _)) => {
                Err(wrong(format!("{setting} is set, but {url} has no TLS: write rediss://…")))
            }
            None => Ok(()),
        }
    }

    /// What stands in them now.
    ///
    /// # Errors
    /// [`Error::Tls`], which names the file.
    pub(super) fn read(&self) -> Result<TlsCertificates, Error> {
        let client_tls = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: certificates(cert)?, client_key: private_key(key)? })
            }
            (None, None) => None,
            (Some(_), None) => return Err(wrong("redis_cert_file needs redis_key_file".to_owned())),
            (None, Some(_)) => return Err(wrong("redis_key_file needs redis_cert_file".to_owned())),
        };
        let root_cert = self.ca.as_deref().map(certificates).transpose()?;
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

fn certificates(path: &Path) -> Result<Vec<u8>, Error> {
    let pem = read(path)?;
    let mut certificates = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate.map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        certificates += 1;
    }
    match certificates {
        0 => Err(wrong(format!("{}: there is no certificate (PEM) in it", path.display()))),
        _ => Ok(pem),
    }
}

fn private_key(path: &Path) -> Result<Vec<u8>, Error> {
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| wrong(format!("{}: there is no private key (PEM) in it", path.display())))?;
    Ok(pem)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| wrong(format!("{}: {error}", path.display())))
}

fn wrong(why: String) -> Error {
    Error::Tls { why }
}
