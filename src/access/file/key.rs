//! The keys of issuers: a secret for HS256, a public key in PEM for the others.
//!
//! A key is checked against its algorithm here, so that no token can be held against a key of
//! another kind.

use std::path::Path;

use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use x509_parser::{
    oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519},
    prelude::FromDer as _,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use crate::{access::token::Digest, files::Contents};

/// Shortest secret for HS256, in bytes: as long as its hash.
const MIN_SECRET_BYTES: usize = 32;
/// Smallest modulus of an RSA key, in bits.
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

pub(super) const ALGORITHMS: &str = "HS256, RS256, ES256, EdDSA";

/// An algorithm that is supported.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "HS256" => Algorithm::HS256,
        "RS256" => Algorithm::RS256,
        "ES256" => Algorithm::ES256,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

/// Reads a key for an algorithm; the error says what is wrong with it.
pub(super) fn read(
    path: &Path,
    algorithm: Algorithm,
    contents: &mut Contents,
) -> Result<(DecodingKey, Digest), String> {
    let bytes = contents.read("file", path).map_err(|error| error.to_string())?;
    let key = match algorithm {
        Algorithm::HS256 => secret(&bytes),
        _ => public_key(&bytes, algorithm),
    };
    Ok((key.map_err(|why| format!("{}: {why}", path.display()))?, Digest::of(&bytes)))
}

fn secret(bytes: &[u8]) -> Result<DecodingKey, String> {
    let secret = bytes.trim_ascii_end();
    if secret.starts_with(b"-----BEGIN") {
        return Err("it is a PEM file, expected is a secret for HS256".to_owned());
    }
    if secret.len() < MIN_SECRET_BYTES {
        return Err(format!("a secret for HS256 has at least {MIN_SECRET_BYTES} bytes"));
    }
    Ok(DecodingKey::from_secret(secret))
}

fn public_key(pem: &[u8], algorithm: Algorithm) -> Result<DecodingKey, String> {
    let expected = || format!("expected is a public key for {algorithm:?} in PEM (BEGIN PUBLIC KEY)");
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| expected())?;
    let (_, info) = SubjectPublicKeyInfo::from_der(&der).map_err(|_| expected())?;
    let bits = &info.subject_public_key.data;
    let kind = &info.algorithm.algorithm;
    let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    match algorithm {
        Algorithm::RS256 if *kind == OID_PKCS1_RSAENCRYPTION => {
            let Ok(PublicKey::RSA(key)) = info.parsed() else { return Err(expected()) };
            let size = key.key_size();
            if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&size) {
                return Err(format!(
                    "its RSA key has {size} bits, expected are {MIN_RSA_BITS} to {MAX_RSA_BITS}"
                ));
            }
            Ok(DecodingKey::from_rsa_der(bits))
        }
        Algorithm::ES256 if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256) => {
            Ok(DecodingKey::from_ec_der(bits))
        }
        Algorithm::EdDSA if *kind == OID_SIG_ED25519 => Ok(DecodingKey::from_ed_der(bits)),
        _ => Err(expected()),
    }
}
