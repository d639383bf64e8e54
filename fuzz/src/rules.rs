//! The file of rules: whatever stands in it, each problem has a place in the text, and no
//! message repeats what may be a secret.

use std::path::Path;

use logrelay::{
    access::parse,
    files::{Contents, FileError},
};

use crate::problems::said;

const SECRET: &str = "5ecre7-70ken";

/// Bytes that are the text of a file.
pub fn check(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    read(text);
    for begin in [
        "[[tokens]]\nname = \"a\"\nsha256 = \"",
        "[[tokens]]\nname = \"a\"\nread = [\"a\"]\nsha256 = '",
        "[[tokens]]\nsha256 = [\"",
        "[[jwt]]\nkey_file = \"none\"\nkey = \"",
    ] {
        let said = read(&format!("{begin}{SECRET}{text}"));
        assert!(!said.contains(SECRET) || text.contains(SECRET), "{said}");
    }
}

/// Everything that is wrong with it.
fn read(text: &str) -> String {
    match parse(Path::new("no such folder/access.toml"), text, &mut Contents::default()) {
        Ok(rules) => {
            assert!(!format!("{rules:?}").contains("sha256"));
            rules.summary()
        }
        Err(FileError::Wrong(problems)) => said(&problems, text),
        Err(error) => panic!("it was not to be read: {error}"),
    }
}

/// A good file, and files with something wrong.
pub fn seeds() -> Vec<Vec<u8>> {
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let texts = [
        format!(
            "[[tokens]]\nname = \"a\"\nsha256 = \"{hash}\"\nread = [\"web.*\"]\nexpires = 2030-01-01T00:00:00Z\n\
             [[certificates]]\nsubject = \"DNS:web.example.org\"\npublish = [\"*\"]\n"
        ),
        format!("[[tokens]]\nname = \"a\"\nsha256 = \"{hash}\"\n[[tokens]]\nname = \"a\"\nsha256 = \"{hash}\"\n"),
        "[[jwt]]\nname = \"id\"\nissuer = \"i\"\naudience = \"\"\nalgorithm = \"HS256\"\nkey_file = \"../k\"\n\
         leeway_ms = 600001\n"
            .to_owned(),
        "[[certificates]]\nsubject = \"IP:1\"\nadminister = [\"a/b\", \"\u{e4}\"]\n".to_owned(),
        "\"\nread = 1\nexpires = 2030-01-01\n".to_owned(),
        "tokens = []\n[[jwt]]\n".to_owned(),
    ];
    texts.map(String::into_bytes).into()
}
