//! What is written about logrelay, held against what it says itself and against its tests.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

const README: &str = include_str!("../../README.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
const COMPOSE: &str = include_str!("../../docker-compose.yml");

/// What `logrelay` prints when it is run with these arguments, and nothing else.
fn printed(arguments: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_logrelay")).args(arguments).env_clear().output().unwrap();
    assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn the_readme_has_every_setting_and_its_default() {
    let said: BTreeSet<String> = printed(&["check-config"])
        .lines()
        .map(|line| {
            let [name, value, _origin] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("name, value and origin: {line}")
            };
            match name {
                "tail.host" => format!("`{name}` | the host name"),
                _ if value == "-" => format!("`{name}` | none"),
                _ => format!("`{name}` | `{value}`"),
            }
        })
        .collect();
    let table = README.split_once("| in the file |").unwrap().1;
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| ")?.rsplit_once(" | "));
    let written: BTreeSet<String> = rows.map(|(name_and_default, _)| name_and_default.to_owned()).collect();
    assert_eq!(written, said);
}

#[test]
fn every_flag_in_the_readme_is_one_of_its_command() {
    let examples =
        README.lines().filter_map(|line| line.split_once("logrelay ")?.0.starts_with("    ").then_some(line));
    let mut flags = 0;
    for example in examples {
        let mut words =
            example.split_once("logrelay ").unwrap().1.split(" #").next().unwrap().split_whitespace();
        let command = words.next().unwrap();
        let mut help = printed(&[command, "--help"]);
        if help.contains("\nCommands:\n") {
            help = printed(&[command, words.next().unwrap(), "--help"]);
        }
        for flag in words.filter(|word| word.starts_with("--")) {
            let is_there = [" ", "\n", "["].iter().any(|after| help.contains(&format!("{flag}{after}")));
            assert!(is_there, "{example}");
            flags += 1;
        }
    }
    assert!(flags > 10, "the examples were not found");
}

#[test]
fn every_configuration_in_the_readme_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = README.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let checked = blocks.map(|block| {
        let config = folder.path().join("logrelay.toml");
        fs::write(&config, block).unwrap();
        printed(&["check-config", "--config", config.to_str().unwrap()])
    });
    assert!(checked.count() >= 2, "the examples were not found");
}

#[test]
fn every_variable_in_the_compose_file_is_one_of_its_command() {
    let help = [["serve", "--help"], ["tail", "--help"]].map(|arguments| printed(&arguments)).concat();
    let variables = COMPOSE.lines().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name);
    let variables: BTreeSet<_> = variables.filter(|name| name.starts_with("LOGRELAY_")).collect();
    assert!(variables.len() >= 4, "{variables:?}");
    for variable in variables {
        assert!(help.contains(&format!("{variable}]")), "{variable}");
    }
}

/// The rows of the table whose last column has this title.
fn rows(title: &str) -> Vec<&'static str> {
    let table = ARCHITECTURE.split_once(&format!("| {title} |")).unwrap().1;
    let rows: Vec<_> = table.lines().skip(2).map_while(|line| line.strip_prefix("| ")).collect();
    assert!(rows.len() > 20, "the table was not found");
    rows
}

#[test]
fn every_invariant_and_every_fault_has_the_test_that_is_named_beside_it() {
    for row in rows("the test that shows it").into_iter().chain(rows("its test")) {
        let named = row.rsplit('`').nth(1).unwrap();
        let (module, test) = named.rsplit_once("::").unwrap();
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{}.rs", module.replace("::", "/")));
        let source = fs::read_to_string(&file).unwrap_or_else(|_| panic!("{named}: no {}", file.display()));
        assert!(source.contains(&format!("fn {test}(")), "{named} is not in {}", file.display());
    }
}

#[test]
fn every_error_of_redis_that_can_be_met_is_among_the_faults() {
    let codes = "OOM READONLY LOADING BUSY MASTERDOWN CLUSTERDOWN TRYAGAIN MOVED ASK NOSCRIPT NOAUTH \
                 WRONGPASS NOPERM WRONGTYPE";
    for code in codes.split_whitespace() {
        assert!(rows("its test").iter().any(|row| row.starts_with(&format!("`{code}`"))), "{code}");
    }
}

#[test]
fn every_test_of_a_fault_is_in_the_table_of_faults() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/faults");
    for entry in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        for test in source.split("#[tokio::test]\nasync fn ").skip(1) {
            let (name, _) = test.split_once('(').unwrap();
            assert!(rows("its test").iter().any(|row| row.contains(&format!("::{name}`"))), "{name}");
        }
    }
}
