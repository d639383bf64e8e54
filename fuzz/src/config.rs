//! The configuration file: whatever stands in it, each problem has a place in the text,
//! no message repeats a password, and an input that is good is read back as it is written.

use std::path::Path;

use logrelay::config::{File, FileError, Whose};

use crate::problems::said;

const PASSWORD: &str = "pa55w0rd";

/// Bytes that are the text of a file.
pub fn check(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    parse(text);
    for url in ["redis://user", "redis+unix://", "rediss://u", "", "redis://h:x"] {
        let said = parse(&format!("redis = \"{url}:{PASSWORD}@{text}"));
        assert!(!said.contains(PASSWORD) || text.contains(PASSWORD), "{said}");
    }
}

/// Everything that is wrong with it.
fn parse(text: &str) -> String {
    match File::parse(Path::new("relay.toml"), text, Whose::Others) {
        Ok(file) => {
            assert!(file.inputs.iter().all(|input| input.keys.paths.is_some()));
            for input in &file.inputs {
                let written = input.toml();
                let again = File::parse(Path::new("again.toml"), &written, Whose::Others);
                let again = again.unwrap_or_else(|error| panic!("{written}\n{error}"));
                assert_eq!(again.inputs, std::slice::from_ref(input), "{written}");
                assert_eq!(again.inputs[0].toml(), written);
            }
            String::new()
        }
        Err(FileError::Wrong(problems)) => said(&problems, text),
        Err(error) => panic!("it was not to be read: {error}"),
    }
}

/// A good file, and files with something wrong.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "log_level = \"debug\"\n[tail]\nhost = \"web-1\"\nbuffer_bytes = 1_000_000\n\n[[inputs]]\n\
         paths = [\"/a/*.log\", '/b']\ntopic = \"app\"\nlabels = { env = \"prod\" }\n",
        "[[inputs]]\nname = \"web\"\npaths = [\"/srv/*/x.log\"]\n\
         topic = \"web-{app}\"\ntopic_pattern = '/srv/(?P<app>[^/]+)/'\nformat = \"cri\"\nstart = \"end\"\n\
         lines_per_second = 10\n[inputs.multiline]\npreset = \"java\"\nmax_lines = 5\n",
        "[[inputs]]\npaths = ['/a']\nencoding = \"utf-16\"\npublish_partial_ms = 5\n\
         [inputs.multiline]\nstarts_with = '^\\d'\n",
        "localhost:6379/0\"\n[serve]\nlisten = \"[::1]:0\"\nmax_topics = 0x10\n",
        "inputs = []\ntail = 1\n[[inputs]]\npaths = []\nunknown = '''\n\u{e4}'''\n",
        "h\"\"\"\n= \n[tail\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}
