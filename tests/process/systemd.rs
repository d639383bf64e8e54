//! The units and the example configuration of `deploy/systemd`, held against the program.
//! Not here: running them, which needs a systemd that runs.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

/// Every key that the units may use, by section: a misspelt one is ignored by systemd.
const KNOWN: [(&str, &str); 3] = [
    ("Unit", "Description Wants After StartLimitIntervalSec"),
    (
        "Service",
        "Type ExecStart ExecReload Restart RestartSec KillSignal TimeoutStopSec LimitNOFILE DynamicUser \
         SupplementaryGroups UMask NoNewPrivileges CapabilityBoundingSet ProtectSystem ReadOnlyPaths \
         ProtectHome PrivateTmp PrivateDevices ProtectClock ProtectHostname ProtectControlGroups \
         ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc LockPersonality \
         MemoryDenyWriteExecute RestrictAddressFamilies RestrictNamespaces RestrictRealtime \
         RestrictSUIDSGID SystemCallArchitectures SystemCallFilter SystemCallErrorNumber",
    ),
    ("Install", "WantedBy"),
];
/// Where the units expect the program and its configuration.
const BINARY: &str = "/usr/local/bin/logrelay";
const CONFIG: &str = "/etc/logrelay/logrelay.toml";

type Section = BTreeMap<String, Vec<String>>;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd")
}

fn example() -> String {
    folder().join("logrelay.toml").display().to_string()
}

/// The sections of a unit, each with the values of its keys.
fn unit(name: &str) -> BTreeMap<String, Section> {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    let mut sections = BTreeMap::<String, Section>::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
        let keys = sections.entry(section.clone()).or_default();
        keys.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    sections
}

/// The units, each with the command that it runs.
const UNITS: [(&str, &str); 2] = [("logrelay-tail.service", "tail"), ("logrelay-serve.service", "serve")];

#[test]
fn the_units_have_only_sections_and_keys_that_systemd_knows() {
    for (name, _) in UNITS {
        let unit = unit(name);
        assert_eq!(unit.len(), KNOWN.len(), "{name}");
        for (section, known) in KNOWN {
            for key in unit[section].keys() {
                assert!(known.split_whitespace().any(|known| known == key), "{name}: [{section}] {key}");
            }
        }
    }
}

#[test]
fn the_command_of_each_unit_is_understood_and_its_example_configuration_is_right() {
    for (name, command) in UNITS {
        let unit = unit(name);
        let [line] = &unit["Service"]["ExecStart"][..] else { panic!("{name}: one ExecStart") };
        let line = line.replace(CONFIG, &example());
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!((words[0], words[1]), (BINARY, command), "{name}");
        // Of the same flags, without following or serving anything.
        let checked = Command::new(env!("CARGO_BIN_EXE_logrelay"))
            .arg("check-config")
            .args(&words[2..])
            .env_clear()
            .output()
            .unwrap();
        assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
        let said = String::from_utf8(checked.stdout).unwrap();
        assert_eq!(said.lines().filter(|line| line.starts_with("inputs.")).count(), 2, "{said}");

        let setting = said.lines().find_map(|line| line.strip_prefix("shutdown_timeout_ms")).unwrap();
        let stop_ms: u64 = setting.split_whitespace().next().unwrap().parse().unwrap();
        let killed_after_s: u64 = unit["Service"]["TimeoutStopSec"][0].parse().unwrap();
        assert!(killed_after_s * 1000 > stop_ms, "{name}: it is killed before it has stopped");
    }
}

#[test]
fn the_units_are_hardened_and_start_again_whatever_happens() {
    for (name, command) in UNITS {
        let unit = unit(name);
        let service = &unit["Service"];
        for (key, value) in [
            ("DynamicUser", "yes"),
            ("NoNewPrivileges", "yes"),
            ("CapabilityBoundingSet", ""),
            ("ProtectSystem", "strict"),
            ("PrivateTmp", "yes"),
            ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
            ("Restart", "always"),
            ("KillSignal", "SIGTERM"),
        ] {
            assert_eq!(service[key], [value], "{name}: {key}");
        }
        assert_eq!(service["SystemCallFilter"], ["@system-service", "~@privileged"], "{name}");
        assert!(service.contains_key("ExecReload"), "{name}");
        assert_eq!(service.contains_key("SupplementaryGroups"), command == "tail", "{name}");
        let files: u64 = service["LimitNOFILE"][0].parse().unwrap();
        assert!(files > 10_000, "{name}: the bounds of files and connections have to fit");
        assert_eq!(unit["Unit"]["StartLimitIntervalSec"], ["0"], "{name}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_where_it_is_there() {
    let copies = tempfile::tempdir().unwrap();
    for (name, _) in UNITS {
        let text = fs::read_to_string(folder().join(name)).unwrap();
        // It looks for the program, too.
        let text = text.replace(BINARY, env!("CARGO_BIN_EXE_logrelay"));
        fs::write(copies.path().join(name), text).unwrap();
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).args(UNITS.map(|(name, _)| copies.path().join(name)));
    let Ok(verified) = verify.output() else { return };
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("logrelay")).collect();
    assert!(ours.is_empty(), "{said}");
}
