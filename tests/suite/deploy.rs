//! The Dockerfile and the compose file, parsed and held against the project. Not
//! here: running them, which needs a Docker engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde::Deserialize;
use serde_norway::Value;

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Value>,
}

fn compose() -> Compose {
    let mut yaml: Value = serde_norway::from_str(include_str!("../../docker-compose.yml")).unwrap();
    yaml.apply_merge().unwrap();
    serde_norway::from_value(yaml).unwrap()
}

impl Compose {
    /// The services that run a command of logrelay.
    fn running(&self, command: &str) -> Vec<&Service> {
        self.services
            .values()
            .filter(|service| service.command.first().is_some_and(|word| word == command))
            .collect()
    }
}

#[test]
fn compose_runs_two_relays_and_a_tailer_on_one_redis() {
    let compose = compose();
    let (relays, tailers) = (compose.running("serve"), compose.running("tail"));
    assert_eq!((relays.len(), tailers.len()), (2, 1));
    for service in relays.iter().chain(&tailers) {
        assert_eq!(service.environment["LOGRELAY_REDIS"], "redis://redis:6379");
        assert!(service.depends_on.contains_key("redis"));
    }
    assert_eq!(compose.running("redis-server").len(), 1);
    assert!(tailers[0].environment.contains_key("LOGRELAY_HOST"), "a container's own name does not last");
}

#[test]
fn compose_names_only_what_it_declares_and_opens_ports_to_this_machine_only() {
    let compose = compose();
    let mut ports = BTreeSet::new();
    for service in compose.services.values() {
        for name in service.depends_on.keys() {
            assert!(compose.services.contains_key(name), "no service {name}");
        }
        for volume in &service.volumes {
            let (name, _) = volume.split_once(':').unwrap();
            assert!(compose.volumes.contains_key(name), "no volume {name}");
        }
        for port in &service.ports {
            assert!(port.starts_with("127.0.0.1:"), "{port}");
            assert!(ports.insert(port.rsplit_once(':').unwrap().0), "{port} twice");
        }
    }
    assert_eq!(ports.len(), compose.running("serve").len());
}

/// The instructions of the Dockerfile, each as its first word and the others.
fn instructions() -> Vec<(&'static str, Vec<&'static str>)> {
    let lines =
        include_str!("../../Dockerfile").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            assert!(!line.ends_with('\\'), "this reader knows whole lines only: {line}");
            let mut words = line.split_whitespace();
            (words.next().unwrap(), words.collect())
        })
        .collect()
}

/// What COPY takes from the project, and not from an earlier stage.
fn copied_from_the_project() -> Vec<&'static str> {
    let copies = instructions().into_iter().filter(|(word, _)| *word == "COPY").map(|(_, words)| words);
    copies
        .filter(|words| !words[0].starts_with("--"))
        .flat_map(|words| words[..words.len() - 1].to_vec())
        .collect()
}

#[test]
fn the_image_is_built_from_files_that_are_there_and_not_ignored() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignore = include_str!("../../.dockerignore");
    assert!(ignore.starts_with("*\n"), "what is not named stays out of the image");
    for source in copied_from_the_project() {
        assert!(root.join(source).exists(), "{source} is not there");
        assert!(ignore.lines().any(|line| line.strip_prefix('!') == Some(source)), "{source} is ignored");
    }
}

#[test]
fn cargo_finds_all_that_it_needs_in_the_image() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let image = tempfile::tempdir().unwrap();
    for source in copied_from_the_project() {
        std::os::unix::fs::symlink(root.join(source), image.path().join(source)).unwrap();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(image.path());
    let said = cargo.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    for needed in ["Cargo.lock", "build.rs", "proto/logrelay/v1/logrelay.proto", "src/main.rs"] {
        assert!(image.path().join(needed).exists(), "{needed} is not copied");
    }
}

#[test]
fn the_image_runs_the_binary_and_not_as_root() {
    let instructions = instructions();
    let last_stage = instructions.iter().rposition(|(word, _)| *word == "FROM").unwrap();
    let last = &instructions[last_stage..];
    let user = last.iter().rfind(|(word, _)| *word == "USER").expect("a user").1[0];
    assert!(!["root", "0"].contains(&user));
    let binary = concat!("/usr/local/bin/", env!("CARGO_PKG_NAME"));
    assert!(last.iter().any(|(word, words)| *word == "COPY" && words.last() == Some(&binary)));
    assert!(last.contains(&("ENTRYPOINT", vec![concat!("[\"", env!("CARGO_PKG_NAME"), "\"]")])));
}
