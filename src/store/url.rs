//! Where Redis is and who we are there, as one URL. Opens nothing.

use std::{fmt, path::PathBuf, str::FromStr};

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use super::connect::TCP_KEEPALIVE;

const DEFAULT_PORT: u16 = 6379;

/// `redis://[user][:password@]host[:port][/db]`, or
/// `redis+unix:///path/of/socket[?db=…&user=…&password=…]`. Characters with a
/// meaning in URLs are written as `%XX`. The password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    place: Place,
    user: Option<String>,
    password: Option<String>,
    db: u32,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// Why a text is no Redis URL. No variant holds the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text does not begin with a scheme that is known.
    #[error("redis URL: it begins with redis:// or redis+unix://, not with {0:?}")]
    Scheme(String),
    /// The design has this scheme, this version does not.
    #[error("redis URL: {0}:// is not supported by this version; redis:// and redis+unix:// are")]
    NotYet(String),
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
    #[error("redis URL: parameter {0:?} is unknown; only redis+unix has some: db, user, password")]
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
        Self { place: Place::Unix(socket), user: None, password: None, db: 0 }
    }

    /// Where the server is, without user, password and database: `127.0.0.1:6379`
    /// or `/path/of/socket`.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }

    /// The same with this password, as when it comes from a file.
    #[must_use]
    pub fn with_password(self, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..self }
    }

    pub(super) fn connection_info(&self) -> Result<ConnectionInfo, RedisError> {
        let mut redis = RedisConnectionInfo::default()
            .set_db(i64::from(self.db))
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name();
        if let Some(user) = &self.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        let address = match &self.place {
            Place::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
            Place::Unix(path) => ConnectionAddr::Unix(path.clone()),
        };
        let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        Ok(address.into_connection_info()?.set_tcp_settings(tcp).set_redis_settings(redis))
    }
}

impl FromStr for RedisUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        // What stands before an '@' may be a password.
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| UrlError::Scheme(if text.contains('@') { "…" } else { text }.to_owned()))?;
        match scheme {
            "redis" => parse_tcp(rest),
            "redis+unix" => parse_unix(rest),
            "rediss" | "redis+sentinel" | "redis+cluster" => Err(UrlError::NotYet(scheme.to_owned())),
            _ => Err(UrlError::Scheme(scheme.to_owned())),
        }
    }
}

fn parse_tcp(rest: &str) -> Result<RedisUrl, UrlError> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    if after.contains('@') {
        return Err(UrlError::Encoding("password"));
    }
    let (user, password, server) = parse_user(authority)?;
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    if !query.is_empty() {
        return Err(UrlError::Parameter(name_of(query).to_owned()));
    }
    let (host, port) = parse_server(server)?;
    let db = match path.trim_matches('/') {
        "" => 0,
        db => parse_db(db)?,
    };
    Ok(RedisUrl { place: Place::Tcp { host, port }, user, password, db })
}

fn parse_unix(rest: &str) -> Result<RedisUrl, UrlError> {
    let slash = rest.find('/').ok_or_else(|| UrlError::Path(without_user(rest).to_owned()))?;
    let (authority, after) = rest.split_at(slash);
    let (mut user, mut password, server) = parse_user(authority)?;
    if !server.is_empty() {
        return Err(UrlError::Path(format!("{server}{}", after.split('?').next().unwrap_or_default())));
    }
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let mut db = 0;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        match name_of(pair) {
            "db" => db = parse_db(value)?,
            "user" => user = Some(decode(value, "user")?),
            "password" => password = Some(decode(value, "password")?),
            name => return Err(UrlError::Parameter(name.to_owned())),
        }
    }
    Ok(RedisUrl { place: Place::Unix(decode(path, "path")?.into()), user, password, db })
}

/// `user:password@server`, of which user and password may be missing.
fn parse_user(authority: &str) -> Result<(Option<String>, Option<String>, &str), UrlError> {
    let Some((who, server)) = authority.rsplit_once('@') else {
        return Ok((None, None, authority));
    };
    let (user, password) = match who.split_once(':') {
        Some((user, password)) => (user, Some(decode(password, "password")?)),
        None => (who, None),
    };
    let user = if user.is_empty() { None } else { Some(decode(user, "user")?) };
    Ok((user, password, server))
}

fn parse_server(server: &str) -> Result<(String, u16), UrlError> {
    let no_host = || UrlError::Host(server.to_owned());
    let (host, port) = if let Some(rest) = server.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(no_host)?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(no_host()),
        }
    } else {
        match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        }
    };
    if host.is_empty() {
        return Err(no_host());
    }
    let port = match port {
        Some(text) => {
            text.parse().ok().filter(|&port| port != 0).ok_or_else(|| UrlError::Port(text.to_owned()))?
        }
        None => DEFAULT_PORT,
    };
    Ok((host.to_owned(), port))
}

fn parse_db(text: &str) -> Result<u32, UrlError> {
    text.parse().map_err(|_| UrlError::Database(text.to_owned()))
}

fn name_of(pair: &str) -> &str {
    pair.split(['=', '&']).next().unwrap_or_default()
}

fn without_user(text: &str) -> &str {
    text.rsplit('@').next().unwrap_or_default()
}

/// Turns `%XX` into the byte that it stands for.
fn decode(text: &str, what: &'static str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(UrlError::Encoding(what));
        };
        bytes.extend(u8::try_from(high * 16 + low));
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Encoding(what))
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        match &self.place {
            Place::Tcp { .. } => write!(f, "redis://{user}{}/{}", self.address(), self.db),
            Place::Unix(_) => write!(f, "redis+unix://{user}{}?db={}", self.address(), self.db),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests;
