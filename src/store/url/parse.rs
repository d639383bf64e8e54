//! Reads the text of a URL. No error repeats what may be a password.

use super::{Endpoint, Login, Place, RedisUrl, UrlError};

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26_379;

pub(super) fn url(text: &str) -> Result<RedisUrl, UrlError> {
    // What stands before an '@' may be a password.
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| UrlError::Scheme(if text.contains('@') { "…" } else { text }.to_owned()))?;
    match scheme {
        "redis" => one(rest, false),
        "rediss" => one(rest, true),
        "redis+unix" => unix(rest),
        "redis+sentinel" => sentinel(rest, false),
        "rediss+sentinel" => sentinel(rest, true),
        "redis+cluster" => cluster(rest, false),
        "rediss+cluster" => cluster(rest, true),
        _ => Err(UrlError::Scheme(scheme.to_owned())),
    }
}

fn one(rest: &str, tls: bool) -> Result<RedisUrl, UrlError> {
    let parts = Parts::read(rest)?;
    parts.has_no_query()?;
    let place = Place::One(server(parts.servers, DEFAULT_PORT)?);
    let db = match parts.path.trim_matches('/') {
        "" => 0,
        db => database(db)?,
    };
    Ok(RedisUrl { place, tls, login: parts.login, sentinel_login: Login::default(), db })
}

fn sentinel(rest: &str, tls: bool) -> Result<RedisUrl, UrlError> {
    let parts = Parts::read(rest)?;
    let servers = servers(parts.servers, DEFAULT_SENTINEL_PORT)?;
    let path = parts.path.trim_matches('/');
    let (master, db) = path.split_once('/').map_or((path, Ok(0)), |(master, db)| (master, database(db)));
    if master.is_empty() {
        return Err(UrlError::Master);
    }
    let mut sentinel_login = Login::default();
    for (name, value) in parameters(parts.query) {
        match name {
            "sentinel_user" => sentinel_login.user = Some(decode(value, "sentinel_user")?),
            "sentinel_password" => sentinel_login.password = Some(decode(value, "sentinel_password")?),
            name => return Err(UrlError::Parameter(name.to_owned())),
        }
    }
    let place = Place::Sentinel { servers, master: decode(master, "master name")? };
    Ok(RedisUrl { place, tls, login: parts.login, sentinel_login, db: db? })
}

fn cluster(rest: &str, tls: bool) -> Result<RedisUrl, UrlError> {
    let parts = Parts::read(rest)?;
    parts.has_no_query()?;
    let place = Place::Cluster(servers(parts.servers, DEFAULT_PORT)?);
    match parts.path.trim_matches('/') {
        "" | "0" => Ok(RedisUrl { place, tls, login: parts.login, sentinel_login: Login::default(), db: 0 }),
        path => Err(UrlError::ClusterPath(path.to_owned())),
    }
}

fn servers(text: &str, default_port: u16) -> Result<Vec<Endpoint>, UrlError> {
    text.split(',').map(|one| server(one, default_port)).collect()
}

fn unix(rest: &str) -> Result<RedisUrl, UrlError> {
    let slash = rest.find('/').ok_or_else(|| UrlError::Path(without_user(rest).to_owned()))?;
    let (authority, after) = rest.split_at(slash);
    let (mut login, server) = login(authority)?;
    if !server.is_empty() {
        return Err(UrlError::Path(format!("{server}{}", after.split('?').next().unwrap_or_default())));
    }
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let mut db = 0;
    for (name, value) in parameters(query) {
        match name {
            "db" => db = database(value)?,
            "user" => login.user = Some(decode(value, "user")?),
            "password" => login.password = Some(decode(value, "password")?),
            name => return Err(UrlError::Parameter(name.to_owned())),
        }
    }
    let place = Place::One(Endpoint::Unix(decode(path, "path")?.into()));
    Ok(RedisUrl { place, tls: false, login, sentinel_login: Login::default(), db })
}

/// What stands between the scheme and the end, where servers are named.
struct Parts<'a> {
    login: Login,
    servers: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn read(rest: &'a str) -> Result<Self, UrlError> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        if after.contains('@') {
            return Err(UrlError::Encoding("password"));
        }
        let (login, servers) = login(authority)?;
        let (path, query) = after.split_once('?').unwrap_or((after, ""));
        Ok(Self { login, servers, path, query })
    }

    fn has_no_query(&self) -> Result<(), UrlError> {
        match parameters(self.query).next() {
            Some((name, _)) => Err(UrlError::Parameter(name.to_owned())),
            None => Ok(()),
        }
    }
}

/// `user:password@server`, of which user and password may be missing.
fn login(authority: &str) -> Result<(Login, &str), UrlError> {
    let Some((who, server)) = authority.rsplit_once('@') else {
        return Ok((Login::default(), authority));
    };
    let (user, password) = match who.split_once(':') {
        Some((user, password)) => (user, Some(decode(password, "password")?)),
        None => (who, None),
    };
    let user = if user.is_empty() { None } else { Some(decode(user, "user")?) };
    Ok((Login { user, password }, server))
}

fn server(text: &str, default_port: u16) -> Result<Endpoint, UrlError> {
    let no_host = || UrlError::Host(text.to_owned());
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(no_host)?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(no_host()),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err(no_host());
    }
    let port = match port {
        Some(text) => {
            text.parse().ok().filter(|&port| port != 0).ok_or_else(|| UrlError::Port(text.to_owned()))?
        }
        None => default_port,
    };
    Ok(Endpoint::Tcp { host: host.to_owned(), port })
}

fn database(text: &str) -> Result<u32, UrlError> {
    text.parse().map_err(|_| UrlError::Database(text.to_owned()))
}

/// The names and values of a query.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
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
