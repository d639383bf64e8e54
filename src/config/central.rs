//! Inputs that are kept in Redis for tailers of a host or group: what may be pushed, and
//! how it is read again. How it gets there is not known here.

use std::path::Path;

use super::{
    ConfigError,
    file::File,
    input::{Input, Whose},
    keys::InputName,
};
use crate::files;

/// The inputs of a file that is to be pushed, each with its name.
///
/// # Errors
/// [`ConfigError::File`]; [`ConfigError::Push`] where there is more in it than inputs with names.
pub fn inputs_to_push(path: &Path) -> Result<Vec<(InputName, Input)>, ConfigError> {
    let text = files::read_text("inputs of", path)?;
    let file = File::parse(path, &text, Whose::Others)?;
    let wrong = |key: &str, what: String| {
        let place = file.place_of(key).unwrap_or_else(|| path.display().to_string());
        ConfigError::Push(format!("{place}: {what}"))
    };
    if let Some(key) = file.settings().next() {
        return Err(wrong(key, format!("{key} is no input: only [[inputs]] can be pushed")));
    }
    if file.inputs.is_empty() {
        return Err(wrong("", "there is nothing to push: expected are [[inputs]]".to_owned()));
    }
    let named = file.inputs.iter().enumerate().map(|(index, input)| {
        let name = input.keys.name.clone().ok_or_else(|| {
            let what =
                "inputs: it has no name, by which it is replaced and removed: expected is name = \"…\"";
            wrong(&format!("inputs.{index}"), what.to_owned())
        });
        Ok((name?, input.clone()))
    });
    named.collect()
}

/// An input as Redis keeps it for a host or group under its name.
///
/// # Errors
/// [`ConfigError`]: it is none that this version can read.
pub fn input_from_redis(of: &str, name: &str, text: &str) -> Result<Input, ConfigError> {
    let place = format!("input {name} of {of} in redis");
    let file = File::parse(Path::new(&place), text, Whose::Others)?;
    match <[Input; 1]>::try_from(file.inputs) {
        Ok([input]) if input.name() == Some(name) => Ok(input),
        _ => Err(ConfigError::Push(format!("{place}: it is not one input of that name"))),
    }
}
