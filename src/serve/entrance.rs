//! Everything that decides who comes in, loaded together: TLS, the rules of access, and whether
//! the port may be seen by others at all.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

use super::{
    ClientCertificates, Error, Options,
    guard::Guard,
    metrics::Metrics,
    reload::Reload,
    tls::{Loaded, Tls},
};
use crate::{
    access::{self, Access},
    files::Contents,
};

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessOptions {
    /// The file of rules (TOML); none: whoever can connect may do everything.
    pub file: Option<PathBuf>,
    /// Everybody who can reach the port may do everything, also from other machines.
    pub insecure_public: bool,
    /// How often certificates and rules are looked at for changes.
    pub reload_interval_ms: u64,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self { file: None, insecure_public: false, reload_interval_ms: 2000 }
    }
}

/// What connections and requests go through.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) tls: Option<Tls>,
    pub(super) guard: Guard,
    pub(super) reload: Reload,
}

/// Says what the options mean for those who call, after reading every file that they name.
///
/// # Errors
/// Why a relay would not start with them.
pub fn check(options: &Options) -> Result<Vec<String>, Error> {
    may_be_seen(options)?;
    let mut said = Vec::new();
    if let Some(loaded) = options.tls.load(&mut Contents::default())? {
        said.push(format!("certificate: {}", validity(&loaded)));
    }
    if let Some(path) = &options.access.file {
        said.push(format!("rules: {}", access::load(path, &mut Contents::default())?.summary()));
    }
    Ok(said)
}

/// Whether a request tells who makes it.
fn knows_callers(options: &Options) -> bool {
    let by_certificate =
        options.tls.client_ca.is_some() && options.tls.client_certificates == ClientCertificates::Required;
    options.access.file.is_some() || by_certificate
}

fn may_be_seen(options: &Options) -> Result<(), Error> {
    if options.access.file.is_some() && options.access.insecure_public {
        return Err(Error::Contradiction);
    }
    let at = options.listen;
    if is_loopback(at) || knows_callers(options) || options.access.insecure_public {
        return Ok(());
    }
    Err(Error::Exposed { at })
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Entrance {
    /// Reads every file that the options name.
    ///
    /// # Errors
    /// Why there is no way in with them.
    pub(super) fn load(options: &Options, metrics: Metrics, registry: &mut Registry) -> Result<Self, Error> {
        may_be_seen(options)?;
        let mut reload = Reload::new(options.access.reload_interval_ms, metrics.clone());
        let tls = tls(options, &metrics, registry, &mut reload)?;
        let access = rules(options, &mut reload)?;
        if !is_loopback(options.listen) && tls.is_none() && options.access.file.is_some() {
            tracing::warn!("tokens come over {} as they are: let TLS end here or before it", options.listen);
        }
        Ok(Self { tls, guard: Guard::new(access, metrics), reload })
    }
}

fn tls(
    options: &Options,
    metrics: &Metrics,
    registry: &mut Registry,
    reload: &mut Reload,
) -> Result<Option<Tls>, Error> {
    let mut contents = Contents::default();
    let Some(loaded) = options.tls.load(&mut contents)? else { return Ok(None) };
    let not_after = Gauge::<i64>::default();
    registry.sub_registry_with_prefix("logrelay_tls").register(
        "certificate_not_after_seconds",
        "End of the certificate's validity, in seconds since 1970",
        not_after.clone(),
    );
    let took = move |loaded: &Loaded| {
        let end = loaded.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        not_after.set(i64::try_from(end.as_secs()).unwrap_or(i64::MAX));
        if loaded.not_after <= SystemTime::now() {
            tracing::warn!("the certificate is {}", validity(loaded));
        }
    };
    took(&loaded);
    let tls = Tls::new(loaded, &options.tls, metrics.handshakes_failed.clone());
    let (files, current) = (options.tls.clone(), tls.clone());
    let load = move |contents: &mut Contents| {
        let mut said = String::new();
        if let Some(loaded) = files.load(contents)? {
            took(&loaded);
            said = validity(&loaded);
            current.replace(loaded);
        }
        Ok(said)
    };
    reload.add("certificates", contents, Box::new(load));
    Ok(Some(tls))
}

fn rules(options: &Options, reload: &mut Reload) -> Result<Arc<Access>, Error> {
    let Some(path) = options.access.file.clone() else {
        let any = if knows_callers(options) { Access::AnyCertificate } else { Access::anybody() };
        return Ok(Arc::new(any));
    };
    let mut contents = Contents::default();
    let access = Arc::new(Access::ruled(access::load(&path, &mut contents)?));
    let current = Arc::clone(&access);
    let load = move |contents: &mut Contents| {
        let rules = access::load(&path, contents)?;
        let said = rules.summary();
        current.replace(rules);
        Ok(said)
    };
    reload.add("rules", contents, Box::new(load));
    Ok(access)
}

fn validity(loaded: &Loaded) -> String {
    let end = jiff::Timestamp::try_from(loaded.not_after).unwrap_or(jiff::Timestamp::MAX);
    let end = end.round(jiff::Unit::Second).unwrap_or(end);
    format!("valid until {end}")
}
