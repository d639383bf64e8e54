//! Who may come in, as an operator sets it up: what a relay refuses to start with, the recipe of
//! the README, and that no secret is in a log.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::{
    process::{Ended, Process, command},
    suite::support::{TestRedis, authority::Authority, writer::Writer},
};

const README: &str = include_str!("../../README.md");
const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

/// How `logrelay` ends that is run with these arguments and refuses them.
async fn refused(words: &str) -> String {
    let Ended { code, stderr } = Process::start(words).ended().await;
    assert_eq!(code, Some(2), "{words}: {stderr}");
    stderr
}

#[tokio::test]
async fn a_relay_that_others_could_read_starts_only_when_it_is_told_so_plainly() {
    let redis = TestRedis::start().await;
    let serve = format!("serve --redis {}", redis.url());
    for address in ["0.0.0.0:0", "[::]:0"] {
        let said = refused(&format!("{serve} --listen {address}")).await;
        for flag in ["--access-file", "--tls-client-ca", "--insecure-public"] {
            assert!(said.contains(flag), "{said}");
        }
        refused(&format!("check-config --listen {address}")).await;
    }
    let mut told = Process::start(&format!("{serve} --listen 0.0.0.0:0 --insecure-public"));
    told.until_it_says("serving listen=0.0.0.0:").await;
    let mut loopback = Process::start(&format!("{serve} --listen [::1]:0"));
    loopback.until_it_says("serving listen=[::1]:").await;
}

#[tokio::test]
async fn what_is_wrong_with_certificates_and_rules_is_said_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    let (authority, foreign) = (Authority::new(), Authority::new());
    let (own, other) = (authority.relay(), foreign.relay());
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let rules = file("access.toml", "\n[[tokens]]\nname = \"a\"\nsha256 = \"hunter2\"\n");
    let (certificate, key) = (own.certificate.display(), own.key.display());
    for (flags, expected) in [
        (format!("--access-file {rules}"), "access.toml:4:10: tokens.sha256: expected are 64".to_owned()),
        (format!("--access-file {rules} --insecure-public"), "contradict each other".to_owned()),
        ("--access-file /no/such/file".to_owned(), "/no/such/file: No such file".to_owned()),
        (format!("--tls-certificate {certificate}"), "--tls-certificate needs --tls-key".to_owned()),
        (format!("--tls-client-ca {certificate}"), "--tls-client-ca needs --tls-certificate".to_owned()),
        (format!("--tls-certificate {key} --tls-key {key}"), format!("{key}: it has no certificate")),
        (
            format!("--tls-certificate {certificate} --tls-key {}", other.key.display()),
            format!("{}: it does not go with the certificate {certificate}", other.key.display()),
        ),
    ] {
        for words in ["check-config", "serve --listen 127.0.0.1:0"] {
            let said = refused(&format!("{words} {flags}")).await;
            assert!(said.contains(&expected) && !said.contains("hunter2"), "{flags}: {said}");
        }
    }
}

/// Runs a line of the README, with `logrelay` on the PATH.
fn shell(line: &str, folder: &Path) {
    let bin = Path::new(env!("CARGO_BIN_EXE_logrelay")).parent().unwrap().display();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let run = Command::new("sh").args(["-ec", line]).current_dir(folder).env("PATH", path).output().unwrap();
    assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
}

#[tokio::test]
async fn the_recipe_of_the_readme_makes_a_relay_that_its_token_can_read() {
    let folder = TempDir::new().unwrap();
    let recipe = README.split_once("## TLS and tokens").unwrap().1.split_once("\n## ").unwrap().0;
    let lines: Vec<_> = recipe.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    for line in
        lines.iter().filter(|line| line.starts_with("openssl ") || line.starts_with("logrelay token "))
    {
        shell(line, folder.path());
    }
    let redis = TestRedis::start().await;
    Writer::new(&redis, "web.shop").await.append_numbered(1, 3).await;
    let find = |start: &str| *lines.iter().find(|line| line.starts_with(start)).unwrap();
    let serve =
        find("logrelay serve").strip_prefix("logrelay ").unwrap().replace("0.0.0.0:7171", "0.0.0.0:0");
    let mut serve = command(&format!("{serve} --redis {}", redis.url()));
    serve.current_dir(folder.path());
    let mut relay = Process::spawn("serve", serve);
    let address = relay.until_it_says("serving listen=0.0.0.0:").await;
    let port = address.split_whitespace().next().unwrap();
    let subscribe = find("logrelay subscribe").strip_prefix("logrelay ").unwrap();
    let subscribe = subscribe.replace("relay-1:7171", &format!("127.0.0.1:{port}"));
    let mut subscribe = command(&format!("{subscribe} --from earliest --no-follow"));
    let output =
        subscribe.current_dir(folder.path()).stdout(std::process::Stdio::piped()).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "line 0\nline 1\nline 2\n");

    let example: Vec<_> = lines.iter().copied().skip_while(|line| !line.starts_with("[[tokens]]")).collect();
    fs::write(folder.path().join("access.toml"), example.join("\n")).unwrap();
    shell("openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out id.pub", folder.path());
    shell(
        "logrelay check-config --access-file access.toml | grep 'rules: 1 tokens, 1 certificates, 1 JWT keys'",
        folder.path(),
    );
}

#[tokio::test]
async fn no_token_and_no_key_is_in_any_log_at_any_level() {
    let redis = TestRedis::start().await;
    Writer::new(&redis, "app").await.append_numbered(1, 3).await;
    let authority = Authority::new();
    let (pair, own) = (authority.relay(), authority.client("reader", "spiffe://prod/reader"));
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    shell("logrelay token reader --read app --output-file good > access.toml", folder.path());
    shell("logrelay token other --output-file wrong > /dev/null", folder.path());
    fs::write(path("secret"), SECRET).unwrap();
    let jwt = "[[jwt]]\nname = \"id\"\nissuer = \"i\"\naudience = \"a\"\nalgorithm = \"HS256\"\nkey_file = \"secret\"\n";
    let rules = fs::read_to_string(path("access.toml")).unwrap();
    fs::write(path("access.toml"), rules + jwt).unwrap();
    fs::write(path("jwt"), "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ\n")
        .unwrap();
    let level = "--log-level trace,logrelay=trace --log-format json";
    let ca = authority.certificate().display().to_string();
    let mut relay = Process::start(&format!(
        "serve --redis {} --listen 127.0.0.1:0 {level} --tls-certificate {} --tls-key {} --tls-client-ca {ca} \
         --tls-client-certificates optional --access-file {}",
        redis.url(),
        pair.certificate.display(),
        pair.key.display(),
        path("access.toml"),
    ));
    let address = relay.until_it_says("\"message\":\"serving\",\"listen\":\"").await;
    let relay_url = format!("https://{}", address.split('"').next().unwrap());
    let mut logs = Vec::new();
    for (token, code) in [("good", 0), ("wrong", 1), ("jwt", 1)] {
        let words = format!(
            "subscribe app --from earliest --no-follow --relay {relay_url} --ca {ca} {level} --token-file {} \
             --client-certificate {} --client-key {}",
            path(token),
            own.certificate.display(),
            own.key.display(),
        );
        let ended = Process::start(&words).ended().await;
        assert_eq!(ended.code, Some(code), "{token}: {}", ended.stderr);
        logs.push(ended.stderr);
    }
    logs.push(relay.stderr());
    assert!(
        logs.iter().all(|log| log.contains("\"TRACE\"") && log.contains("\"target\":\"h2::")),
        "it was not logged in full"
    );
    let mut secrets = vec![SECRET.to_owned()];
    secrets.extend(
        ["good", "wrong", "jwt"].map(|name| fs::read_to_string(path(name)).unwrap().trim().to_owned()),
    );
    secrets.push("c2lnbmF0dXJlLXNpZ25hdHVyZQ".to_owned());
    for key in [&pair.key, &own.key] {
        let text = fs::read_to_string(key).unwrap();
        secrets.extend(text.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
    }
    for (log, secret) in logs.iter().flat_map(|log| secrets.iter().map(move |secret| (log, secret))) {
        assert!(!log.contains(secret.as_str()), "{secret} is in a log");
    }
}

#[tokio::test]
async fn a_token_goes_to_another_machine_in_the_clear_only_when_it_is_told_so() {
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, format!("{SECRET}\n")).unwrap();
    for words in ["subscribe app", "topics"] {
        let words = format!("{words} --relay http://relay.example.org:7171 --token-file {}", token.display());
        let said = refused(&words).await;
        assert!(said.contains("--insecure-token") && !said.contains(SECRET), "{said}");
    }
    refused("topics --token-file /no/such/file").await;
    refused("topics --relay https://127.0.0.1:1 --ca /no/such/file").await;
}
