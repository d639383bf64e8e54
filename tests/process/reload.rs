//! SIGHUP: a relay reads its certificates and its rules again, at once, and goes on.

use std::{fs, path::Path, process::Command};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    process::Process,
    suite::support::{TestRedis, authority::Authority, writer::Writer},
};

/// Writes rules in which nobody is known but the holder of a new token, which goes into a file.
fn only(name: &str, folder: &Path) {
    fs::remove_file(folder.join(name)).ok();
    let mut token = Command::new(env!("CARGO_BIN_EXE_logrelay"));
    token.args(["token", name, "--read", "*", "--output-file", name]).current_dir(folder);
    let made = token.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(folder.join("access.toml"), made.stdout).unwrap();
}

#[tokio::test]
async fn certificates_and_tokens_are_read_again_at_sighup_and_what_is_broken_is_refused() {
    let redis = TestRedis::start().await;
    Writer::new(&redis, "app").await.append_numbered(1, 3).await;
    let (first, second) = (Authority::new(), Authority::new());
    let folder = TempDir::new().unwrap();
    let pair = first.relay().copied_to(folder.path());
    only("one", folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    // By itself it would look in an hour.
    let mut relay = Process::start(&format!(
        "serve --redis {} --listen 127.0.0.1:0 --reload-interval-ms 3600000 --access-file {} \
         --tls-certificate {} --tls-key {}",
        redis.url(),
        path("access.toml"),
        pair.certificate.display(),
        pair.key.display(),
    ));
    let address = relay.until_it_says("serving listen=").await;
    let url = format!("https://{}", address.split_whitespace().next().unwrap());
    let is_served = async |token: &str, authority: &Authority| {
        let words = format!(
            "topics --relay {url} --token-file {} --ca {}",
            path(token),
            authority.certificate().display()
        );
        Process::start(&words).ended().await.code == Some(0)
    };
    assert!(is_served("one", &first).await);

    only("two", folder.path());
    second.relay().replace(&pair);
    assert!(is_served("one", &first).await, "it was read too early");
    relay.signal(Signal::HUP);
    relay.until_it_says("certificates read again: valid until").await;
    relay.until_it_says("rules read again: 1 tokens").await;
    assert!(is_served("two", &second).await);
    assert!(!is_served("one", &second).await && !is_served("two", &first).await);

    fs::write(path("access.toml"), "[[tokens]]\nname = 7\n").unwrap();
    fs::write(&pair.key, "no key").unwrap();
    relay.signal(Signal::HUP);
    relay.until_it_says("certificates refused, they stay as they were").await;
    relay.until_it_says("rules refused, they stay as they were").await;
    assert!(is_served("two", &second).await);
}
