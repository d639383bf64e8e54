//! Where Redis is and who we are there, as one URL. Opens nothing.

mod parse;

use std::{fmt, path::PathBuf, str::FromStr};

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use super::connect::TCP_KEEPALIVE;

/// One of
///
/// - `redis://[user][:password@]host[:port][/db]`, and `rediss://…` over TLS,
/// - `redis+unix:///path/of/socket[?db=…&user=…&password=…]`,
/// - `redis+sentinel://[user][:password@]host[:port][,…]/master[/db]`, where hosts are those
///   of Sentinels, which may have a login of their own: `?sentinel_user=…&sentinel_password=…`,
/// - `redis+cluster://[user][:password@]host[:port][,…]`, where one of the hosts that are nodes
///   has to be there.
///
/// `rediss+sentinel` and `rediss+cluster` are these over TLS. Characters with a meaning in URLs are written as `%XX`. The password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) place: Place,
    pub(super) tls: bool,
    login: Login,
    sentinel_login: Login,
    db: u32,
}

/// What stands behind a URL.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// One server.
    One(Endpoint),
    /// The server that these Sentinels say is the master of this name.
    Sentinel { servers: Vec<Endpoint>, master: String },
    /// The nodes of a cluster, of which these are some.
    Cluster(Vec<Endpoint>),
}

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// Who we are there.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// Why a text is no Redis URL. No variant holds the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text does not begin with a scheme that is known.
    #[error(
        "redis URL: it begins with redis://, rediss:// (TLS), redis+unix://, redis+sentinel:// or \
         redis+cluster://, not with {0:?}"
    )]
    Scheme(String),
    /// It does not say which master the Sentinels are to be asked for.
    #[error("redis URL: it names no master; write redis+sentinel://host:26379,host2:26379/mymaster")]
    Master,
    /// A cluster has one database.
    #[error("redis URL: a cluster has no {0:?}, only database 0; write redis+cluster://host:port,host2:port")]
    ClusterPath(String),
    /// No host, or brackets that do not match.
    #[error("redis URL: host {0:?} is none; write redis://host:port, and IPv6 as redis://[::1]:port")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("redis URL: port {0:?} is not a number from 1 to 65535")]
    Port(String),
    /// The database is not a number.
    #[error("redis URL: database {0:?} is not a number; write redis://host:port/0 or ?db=0")]
    Database(String),
    /// The socket has no absolute path.
    #[error("redis URL: socket path {0:?} is not absolute; write redis+unix:///path/of/socket")]
    Path(String),
    /// There is no such query parameter.
    #[error(
        "redis URL: parameter {0:?} is unknown; redis+unix has db, user, password, and redis+sentinel has \
         sentinel_user, sentinel_password"
    )]
    Parameter(String),
    /// User, password or path cannot be read.
    #[error(
        "redis URL: the {0} cannot be read; write '@', '/', '?', '&' and '%' in it as %40, %2F, %3F, %26, %25"
    )]
    Encoding(&'static str),
}

impl RedisUrl {
    /// A server at a unix socket, without user or password.
    pub fn unix(socket: PathBuf) -> Self {
        let place = Place::One(Endpoint::Unix(socket));
        let login = Login::default();
        Self { place, tls: false, sentinel_login: login.clone(), login, db: 0 }
    }

    /// Where the server is, without user, password and database: `127.0.0.1:6379`,
    /// `/path/of/socket`, `mymaster of 127.0.0.1:26379`, or the hosts of a cluster.
    pub fn address(&self) -> String {
        match &self.place {
            Place::One(endpoint) => endpoint.to_string(),
            Place::Sentinel { servers, master } => format!("{master} of {}", joined(servers)),
            Place::Cluster(servers) => joined(servers),
        }
    }

    /// Whether what is sent is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The same with this password, as when it comes from a file.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.login.password = Some(password.to_owned());
        self
    }

    /// How the client library is told to connect to a server of this URL.
    pub(super) fn connection_info(&self, endpoint: &Endpoint) -> Result<ConnectionInfo, RedisError> {
        self.connection_info_as(endpoint, &self.login, self.db)
    }

    /// The same, to a Sentinel.
    pub(super) fn sentinel_info(&self, endpoint: &Endpoint) -> Result<ConnectionInfo, RedisError> {
        self.connection_info_as(endpoint, &self.sentinel_login, 0)
    }

    fn connection_info_as(
        &self,
        endpoint: &Endpoint,
        login: &Login,
        db: u32,
    ) -> Result<ConnectionInfo, RedisError> {
        let mut redis = RedisConnectionInfo::default()
            .set_db(i64::from(db))
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name();
        if let Some(user) = &login.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &login.password {
            redis = redis.set_password(password);
        }
        let address = match endpoint.clone() {
            Endpoint::Tcp { host, port } if self.tls => {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
            Endpoint::Tcp { host, port } => ConnectionAddr::Tcp(host, port),
            Endpoint::Unix(path) => ConnectionAddr::Unix(path),
        };
        let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        Ok(address.into_connection_info()?.set_tcp_settings(tcp).set_redis_settings(redis))
    }
}

impl FromStr for RedisUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        parse::url(text)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.login.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let (db, s) = (self.db, if self.tls { "s" } else { "" });
        match &self.place {
            Place::One(at @ Endpoint::Tcp { .. }) => write!(f, "redis{s}://{user}{at}/{db}"),
            Place::One(at @ Endpoint::Unix(_)) => write!(f, "redis+unix://{user}{at}?db={db}"),
            Place::Sentinel { servers, master } => {
                write!(f, "redis{s}+sentinel://{user}{}/{master}/{db}", joined(servers))
            }
            Place::Cluster(servers) => write!(f, "redis{s}+cluster://{user}{}", joined(servers)),
        }
    }
}

fn joined(servers: &[Endpoint]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
