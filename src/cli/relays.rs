//! Where relays are and what is shown to them: the flags of every command that asks one.

use std::{env, path::PathBuf, sync::Arc};

use clap::builder::BoolishValueParser;

use super::Misuse;
use crate::client::{Credentials, RelayAddress, Token};

/// The token itself, for where there are no files. It is no flag: every user of a machine can read
/// the flags of all.
const TOKEN_VARIABLE: &str = "LOGRELAY_TOKEN";

/// Flags of a command that asks relays.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Relays")]
pub(super) struct RelayFlags {
    /// Address of a relay, `http://HOST:PORT` or `https://HOST:PORT`; several: any of them, the next one
    /// where one fails
    #[arg(
        id = "relay",
        long = "relay",
        global = true,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7171"
    )]
    // Read later: a refusal by the parser of the command line would repeat what may be a password.
    urls: Vec<String>,
    /// File whose first line is the token to show; read again for every connection. The variable
    /// `LOGRELAY_TOKEN` can have the token itself
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Send the token also without encryption to other machines
    #[arg(long, global = true, value_parser = BoolishValueParser::new())]
    insecure_token: bool,
    /// Authorities by which certificates of relays are believed (PEM) [default: those of the system]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate to show, where relays ask for one (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Private key of that certificate (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

impl RelayFlags {
    /// The relays, each with what is shown to it.
    ///
    /// # Errors
    /// [`Misuse`] where something of it cannot be used.
    pub(super) fn relays(self) -> Result<Vec<RelayAddress>, Misuse> {
        let urls: Result<Vec<RelayAddress>, _> = self.urls.iter().map(|url| url.parse()).collect();
        let urls = urls.map_err(|error| Misuse(format!("--relay: {error}")))?;
        let in_variable = || env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let mut credentials = Credentials::default();
        credentials.ca = self.ca;
        credentials.certificate = self.client_certificate.zip(self.client_key);
        credentials.token = self.token_file.map(Token::File).or_else(|| in_variable().map(Token::Text));
        credentials.insecure_token = self.insecure_token;
        credentials.check(&urls).map_err(|error| Misuse(error.to_string()))?;
        let credentials = Arc::new(credentials);
        Ok(urls.into_iter().map(|relay| relay.with(Arc::clone(&credentials))).collect())
    }
}
