//! The names in a certificate, and how long it is valid. That it can be believed is checked
//! before, by TLS.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

/// A name of whoever holds a certificate, written as OpenSSL does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum CertificateName {
    /// `URI:spiffe://prod/shipper`.
    Uri(String),
    /// `DNS:shipper.example.org`, in small letters.
    Dns(String),
    /// `CN=shipper`, of the subject.
    CommonName(String),
}

impl FromStr for CertificateName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let named = |prefix| text.strip_prefix(prefix).filter(|name| !name.is_empty());
        if let Some(name) = named("URI:") {
            Ok(Self::Uri(name.to_owned()))
        } else if let Some(name) = named("DNS:") {
            Ok(Self::Dns(name.to_ascii_lowercase()))
        } else if let Some(name) = named("CN=") {
            Ok(Self::CommonName(name.to_owned()))
        } else {
            Err("expected is a name of a certificate: URI:…, DNS:… or CN=…")
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(name) => write!(f, "URI:{name}"),
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::CommonName(name) => write!(f, "CN={name}"),
        }
    }
}

/// The bytes are no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no X.509 certificate: {0}")]
pub struct CertificateError(String);

/// What a certificate says of its holder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The most telling ones first: URIs, DNS names, common names.
    names: Arc<[CertificateName]>,
    not_after: SystemTime,
}

impl ClientCertificate {
    /// Reads the DER form.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let error = |error: &dyn fmt::Display| CertificateError(error.to_string());
        let (_, certificate) = X509Certificate::from_der(der).map_err(|why| error(&why))?;
        let alternatives = certificate.subject_alternative_name().map_err(|why| error(&why))?;
        let mut names = Vec::new();
        for name in alternatives.iter().flat_map(|found| &found.value.general_names) {
            match name {
                GeneralName::URI(name) => names.push(CertificateName::Uri((*name).to_owned())),
                GeneralName::DNSName(name) => names.push(CertificateName::Dns(name.to_ascii_lowercase())),
                _ => {}
            }
        }
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(|name| CertificateName::CommonName(name.to_owned())));
        names.sort();
        let not_after = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(not_after);
        Ok(Self { names: names.into(), not_after })
    }

    /// The end of its validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// By which name its holder is called where nothing else is said.
    pub(super) fn name(&self) -> Option<String> {
        self.names.first().map(ToString::to_string)
    }

    pub(super) fn has(&self, name: &CertificateName) -> bool {
        self.names.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, string::Ia5String};

    use super::*;

    #[test]
    fn every_name_of_a_certificate_is_read() {
        let mut params = CertificateParams::new(["Web.Example.org".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "web");
        let uri = Ia5String::try_from("spiffe://prod/web").unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        params.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = ClientCertificate::parse(made.der()).unwrap();
        for name in ["URI:spiffe://prod/web", "DNS:web.example.org", "DNS:WEB.example.org", "CN=web"] {
            assert!(read.has(&name.parse().unwrap()), "{name}: {read:?}");
        }
        assert!(!read.has(&"CN=web.example.org".parse().unwrap()));
        assert_eq!(read.name().as_deref(), Some("URI:spiffe://prod/web"));
        assert_eq!(read.not_after(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_542_400));
    }

    #[test]
    fn what_is_no_certificate_or_no_name_is_refused() {
        assert!(ClientCertificate::parse(b"abc").is_err());
        for wrong in ["", "web", "CN=", "cn=web", "IP:10.0.0.1"] {
            assert!(wrong.parse::<CertificateName>().is_err(), "{wrong}");
        }
    }
}
