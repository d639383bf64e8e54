//! Files of settings, keys and certificates: small, written by people and programs while we
//! run. How they are read, whether they say something new, and where something in them is wrong.

mod contents;
mod problem;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

pub use self::{
    contents::Contents,
    problem::{FileError, Lines, Problem},
};

/// Greatest size of a file that is read.
pub const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The content of a file. What is no file is not opened: a pipe may be waited for without end.
///
/// # Errors
/// What the system says; that it is no regular file, or larger than [`MOST_BYTES`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if found.len() > MOST_BYTES {
        return Err(too_large());
    }
    fs::read(path)
}

fn too_large() -> io::Error {
    io::Error::other(format!("it is larger than {MOST_BYTES} bytes"))
}

fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text"))
}

/// The content of a file that is given as `what`.
///
/// # Errors
/// [`FileError::Read`], as [`read`].
pub fn read_given(what: &'static str, path: &Path) -> Result<Vec<u8>, FileError> {
    read(path).map_err(FileError::reading(what, path))
}

/// The text of a file that is read once; that of a pipe too, whose end is waited for.
///
/// # Errors
/// [`FileError::Read`]; that it is larger than [`MOST_BYTES`], or not UTF-8.
pub fn read_text(what: &'static str, path: &Path) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    let text = match read {
        Err(error) => Err(error),
        Ok(_) if bytes.len() as u64 > MOST_BYTES => Err(too_large()),
        Ok(_) => text_of(bytes),
    };
    text.map_err(FileError::reading(what, path))
}

/// The first line of a file, which is a secret; without spaces around it.
///
/// # Errors
/// As [`read`]; that there is nothing in it. Never with what stands in it.
pub fn read_secret(what: &'static str, path: &Path) -> Result<String, FileError> {
    let secret = read(path).and_then(text_of).and_then(|text| match text.lines().next().map(str::trim) {
        None | Some("") => Err(io::Error::other("its first line is empty")),
        Some(line) => Ok(line.to_owned()),
    });
    secret.map_err(FileError::reading(what, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_has_no_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        fs::File::create(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("larger than"));
        assert!(read(folder.path()).unwrap_err().to_string().contains("regular file"));
    }

    #[test]
    fn a_secret_is_the_first_line_and_is_not_repeated_where_it_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, " hunter2\r\nmore\n").unwrap();
        assert_eq!(read_secret("--token-file", &path).unwrap(), "hunter2");
        fs::write(&path, "\nhunter2\n").unwrap();
        let error = read_secret("--token-file", &path).unwrap_err().to_string();
        assert!(error.contains("secret: its first line is empty") && !error.contains("hunter"), "{error}");
        fs::write(&path, b"hunter\xff").unwrap();
        let error = read_secret("--token-file", &path).unwrap_err().to_string();
        assert!(error.contains("not text") && !error.contains("hunter"), "{error}");
    }
}
