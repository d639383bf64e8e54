//! The file of rules: TOML with `[[tokens]]`, `[[certificates]]` and `[[jwt]]`, and the keys
//! that it names. What is wrong in it is said with line and key, and never with a value that
//! may be a secret.

mod form;
mod key;

use std::{collections::HashSet, ops::Range, path::Path, time::SystemTime};

use toml::{Spanned, value::Datetime};

use self::form::{CertificateForm, Form, JwtForm, TokenForm};
use super::{
    Grants, Principal,
    certificate::CertificateName,
    jwt::{JwtKey, Trust},
    principal::Standing,
    rules::{Rule, Rules},
    token::Digest,
};
use crate::{
    files::{Contents, FileError, Lines, Problem},
    record::{Host, TopicGlob},
};

/// By how much the clock of an issuer may differ where nothing is said, in ms.
const LEEWAY_MS: u64 = 30_000;
/// The greatest number that may be said.
const MAX_LEEWAY_MS: u64 = 600_000;

/// Reads a file of rules and the keys that it names, whose paths begin at its folder.
///
/// # Errors
/// [`FileError`], with all that is wrong.
pub fn load(path: &Path, contents: &mut Contents) -> Result<Rules, FileError> {
    let bytes = contents.read("--access-file", path)?;
    parse(path, &String::from_utf8_lossy(&bytes), contents)
}

/// Reads the text of such a file, which stands at this path.
///
/// # Errors
/// [`FileError::Wrong`], with all that is wrong.
pub fn parse(path: &Path, text: &str, contents: &mut Contents) -> Result<Rules, FileError> {
    let mut reading = Reading { path, lines: Lines::of(text), problems: Vec::new() };
    let Some(form) = reading.form() else { return Err(FileError::Wrong(reading.problems)) };
    let rules = Rules {
        tokens: reading.tokens(&form.tokens),
        certificates: reading.certificates(&form.certificates),
        keys: form.jwt.iter().filter_map(|jwt| reading.key(jwt, contents)).collect(),
    };
    reading.problems.sort_by_key(|problem| (problem.line, problem.column));
    if reading.problems.is_empty() { Ok(rules) } else { Err(FileError::Wrong(reading.problems)) }
}

/// A file that is being read.
struct Reading<'a> {
    path: &'a Path,
    lines: Lines<'a>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn wrong(&mut self, at: Range<usize>, what: String) {
        self.problems.push(Problem::at(self.path, &self.lines, at.start, what));
    }

    /// What stands there, before anything of it is understood.
    fn form(&mut self) -> Option<Form> {
        let error = match toml::from_str(self.lines.text()) {
            Ok(form) => return Some(form),
            Err(error) => error,
        };
        let at = error.span().unwrap_or(0..0);
        // The message of a type that does not fit has the value, but not the key.
        let key = self.lines.before(at.start).split_once('=').map_or("", |(key, _)| key.trim());
        let message = error.message();
        let value = message.split_once(": string \"").zip(message.rsplit_once("\", expected "));
        let what = match value {
            Some(((kind, _), (_, expected))) => format!("{kind}: a text, expected {expected}"),
            None => message.to_owned(),
        };
        self.wrong(at, if key.is_empty() { what } else { format!("{key}: {what}") });
        None
    }

    fn tokens(&mut self, forms: &[TokenForm]) -> Vec<Rule<Digest>> {
        let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
        let mut rules = Vec::new();
        for form in forms {
            let name = self.name("tokens.name", &form.name, &mut names);
            let digest = Digest::parse(form.sha256.get_ref());
            match digest {
                None => self.wrong(
                    form.sha256.span(),
                    "tokens.sha256: expected are 64 hexadecimal digits, the SHA-256 of the token".to_owned(),
                ),
                Some(digest) if !hashes.insert(digest) => {
                    self.wrong(
                        form.sha256.span(),
                        "tokens.sha256: another token has the same hash".to_owned(),
                    );
                }
                Some(_) => {}
            }
            let grants = self.grants("tokens", &form.read, &form.publish, &form.administer);
            let expires = form.expires.as_ref().and_then(|expires| self.time("tokens.expires", expires));
            if let (Some(name), Some(digest)) = (name, digest) {
                rules.push(Rule::new(digest, Principal::new(&name, grants, expires)));
            }
        }
        rules
    }

    fn certificates(&mut self, forms: &[CertificateForm]) -> Vec<Rule<CertificateName>> {
        let mut rules: Vec<Rule<CertificateName>> = Vec::new();
        for form in forms {
            let grants = self.grants("certificates", &form.read, &form.publish, &form.administer);
            match form.subject.get_ref().parse::<CertificateName>() {
                Err(why) => self.wrong(form.subject.span(), format!("certificates.subject: {why}")),
                Ok(name) if rules.iter().any(|rule| rule.shown == name) => {
                    self.wrong(form.subject.span(), format!("certificates.subject: {name} is there already"));
                }
                Ok(name) => {
                    rules.push(Rule::new(name.clone(), Principal::new(&name.to_string(), grants, None)));
                }
            }
        }
        rules
    }

    fn key(&mut self, form: &JwtForm, contents: &mut Contents) -> Option<JwtKey> {
        let name = self.name("jwt.name", &form.name, &mut HashSet::new());
        for (key, text) in [("jwt.issuer", &form.issuer), ("jwt.audience", &form.audience)] {
            if text.get_ref().is_empty() {
                self.wrong(text.span(), format!("{key}: it is empty"));
            }
        }
        let leeway_ms = form.leeway_ms.as_ref().map_or(LEEWAY_MS, |leeway| *leeway.get_ref());
        if let Some(leeway) = form.leeway_ms.as_ref().filter(|_| leeway_ms > MAX_LEEWAY_MS) {
            self.wrong(
                leeway.span(),
                format!("jwt.leeway_ms: expected is a number from 0 to {MAX_LEEWAY_MS}"),
            );
        }
        let Some(algorithm) = key::algorithm(form.algorithm.get_ref()) else {
            self.wrong(
                form.algorithm.span(),
                format!("jwt.algorithm: expected is one of: {}", key::ALGORITHMS),
            );
            return None;
        };
        let folder = self.path.parent().unwrap_or(Path::new(""));
        match key::read(&folder.join(form.key_file.get_ref()), algorithm, contents) {
            Err(why) => {
                self.wrong(form.key_file.span(), format!("jwt.key_file: {why}"));
                None
            }
            Ok((key, digest)) => {
                let trust = Trust {
                    name: name?,
                    issuer: form.issuer.get_ref().clone(),
                    audience: form.audience.get_ref().clone(),
                    algorithm,
                    kid: form.kid.clone(),
                    leeway_ms,
                    digest,
                };
                Some(JwtKey { trust, key, standing: Standing::new() })
            }
        }
    }

    /// A name for logs, which nobody else has.
    fn name(&mut self, key: &str, text: &Spanned<String>, taken: &mut HashSet<String>) -> Option<String> {
        let name = text.get_ref();
        if let Err(error) = name.parse::<Host>() {
            self.wrong(text.span(), format!("{key}: {error}"));
            return None;
        }
        if !taken.insert(name.clone()) {
            self.wrong(text.span(), format!("{key}: {name} is there already"));
            return None;
        }
        Some(name.clone())
    }

    fn grants(
        &mut self,
        section: &str,
        read: &[Spanned<String>],
        publish: &[Spanned<String>],
        administer: &[Spanned<String>],
    ) -> Grants {
        let mut globs = |key: &str, texts: &[Spanned<String>]| -> Vec<TopicGlob> {
            let read = texts.iter().filter_map(|text| match text.get_ref().parse() {
                Ok(glob) => Some(glob),
                Err(error) => {
                    self.wrong(text.span(), format!("{section}.{key}: {error}"));
                    None
                }
            });
            read.collect()
        };
        Grants {
            read: globs("read", read),
            publish: globs("publish", publish),
            administer: globs("administer", administer),
        }
    }

    fn time(&mut self, key: &str, time: &Spanned<Datetime>) -> Option<SystemTime> {
        let read = time.get_ref().to_string().parse::<jiff::Timestamp>();
        if read.is_err() {
            let what = format!("{key}: expected is a date and a time with its zone, as 2027-06-30T00:00:00Z");
            self.wrong(time.span(), what);
        }
        read.ok().map(SystemTime::from)
    }
}

#[cfg(test)]
mod tests;
