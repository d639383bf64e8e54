//! What `make check` does about the contract: buf, with its configuration, notices what would
//! break a client. Not here: that the contract is clean, which is what `make check` says.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const CONTRACT: &str = "logrelay/v1/logrelay.proto";
/// Put there by `make check`.
const BUF: &str = "target/tools/bin/buf";

/// The contract with a change, and what buf says of it: everything, and whether it is content.
fn checked(rules: &[&str], from: &str, to: &str) -> (String, bool) {
    let root = Path::new(ROOT);
    let folder = TempDir::new().unwrap();
    let copy = |from: &Path, to: &str, change: &dyn Fn(String) -> String| {
        let to = folder.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, change(fs::read_to_string(from).unwrap())).unwrap();
    };
    let contract = root.join("proto").join(CONTRACT);
    copy(&root.join("buf.yaml"), "buf.yaml", &|text| text);
    copy(&contract, &format!("released/{CONTRACT}"), &|text| text);
    copy(&contract, &format!("proto/{CONTRACT}"), &|text| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    let ended = Command::new(root.join(BUF)).args(rules).current_dir(&folder).output().unwrap();
    (String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned(), ended.status.success())
}

#[test]
fn what_breaks_a_client_is_refused_and_what_is_added_is_not() {
    if !Path::new(ROOT).join(BUF).exists() {
        eprintln!("skipped: there is no buf; make check installs it");
        return;
    }
    let breaking = ["breaking", "--against", "released"];
    for (from, to, said) in [
        ("string next_cursor = 4;", "", "next_cursor"),
        ("string next_cursor = 4;", "string next_cursor = 16;", "next_cursor"),
        ("string next_cursor = 4;", "string next = 4;", "next_cursor"),
        ("string next_cursor = 4;", "bytes next_cursor = 4;", "bytes"),
        ("rpc GetCursor(", "rpc FindCursor(", "GetCursor"),
        ("(stream SubscribeResponse)", "(SubscribeResponse)", "stream"),
        ("CONTAINS = 1;", "CONTAINS = 7;", "Op"),
    ] {
        let (output, is_content) = checked(&breaking, from, to);
        assert!(!is_content && output.contains(said), "{to}: {output}");
    }
    let (output, is_content) = checked(&breaking, "reserved 7;", "string added = 7;");
    assert!(is_content, "{output}");
    let (output, is_content) = checked(&["lint"], "string next_cursor = 4;", "string nextCursor = 4;");
    assert!(!is_content && output.contains("nextCursor"), "{output}");
    let (output, is_content) = checked(&["lint"], "reserved 7;", "string added = 7;");
    assert!(is_content, "{output}");
}
