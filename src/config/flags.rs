//! The flags that say how the paths of a command line are followed. They are keys of an
//! input; the less usual ones have no flag, and need a file.

use super::{
    ConfigError,
    input::{Input, Mistake, Whose},
    keys::{InputKeys, MultilineKeys},
    value::{
        Value, Wrong,
        lists::Label,
        patterns::{ExcludeGlob, LinePattern, PathGlob, PathPattern},
    },
};
use crate::tail::{
    LineOptions,
    input::{Encoding, Format, Preset},
};

/// How the paths of a command line are followed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PathOptions {
    /// Topic of the paths, or a template of it: `{file_stem}`, `{file_name}`, `{dir}`,
    /// groups of `--topic-pattern`
    #[arg(long, value_name = "TOPIC", help_heading = "Paths")]
    pub topic: Option<String>,
    /// Files and globs (in quotes) that are left out; repeatable
    #[arg(long, value_name = "PATH", requires = "paths", help_heading = "Paths")]
    #[arg(value_parser = read::<ExcludeGlob>)]
    pub exclude: Vec<ExcludeGlob>,
    /// Regular expression for whole paths, whose named groups are names for `--topic` and `--label`
    #[arg(long, value_name = "REGEX", requires = "paths", help_heading = "Paths")]
    #[arg(value_parser = read::<PathPattern>)]
    pub topic_pattern: Option<PathPattern>,
    /// Label of the lines; the value may be a template, too; repeatable
    #[arg(long, value_name = "NAME=VALUE", requires = "paths", help_heading = "Paths")]
    #[arg(value_parser = read::<Label>)]
    pub label: Vec<Label>,
    /// What the bytes mean: raw, utf-16, utf-16le or utf-16be [default: raw]
    #[arg(long, value_name = "ENCODING", requires = "paths", help_heading = "Paths")]
    #[arg(value_parser = read::<Encoding>)]
    pub encoding: Option<Encoding>,
    /// What each line is wrapped in: plain, docker or cri [default: plain]
    #[arg(long, value_name = "FORMAT", requires = "paths", help_heading = "Paths")]
    #[arg(value_parser = read::<Format>)]
    pub format: Option<Format>,
    /// Publish stack traces as one line: java, python, go or rust
    #[arg(long, value_name = "LANGUAGE", requires = "paths", help_heading = "Paths")]
    #[arg(value_parser = read::<Preset>)]
    pub multiline_preset: Option<Preset>,
    /// Publish lines as one, from each that this regular expression matches to the next one
    #[arg(long, value_name = "REGEX", requires = "paths", help_heading = "Paths")]
    #[arg(value_parser = read::<LinePattern>)]
    pub multiline_starts_with: Option<LinePattern>,
}

fn read<V: Value>(text: &str) -> Result<V, Wrong> {
    V::read(text)
}

impl PathOptions {
    /// How standard input, which has no path, is read as lines.
    ///
    /// # Errors
    /// [`ConfigError::Flags`].
    pub fn lines_of_stdin(self, max_line_bytes: usize) -> Result<LineOptions, ConfigError> {
        let of_paths = [
            ("--exclude", !self.exclude.is_empty()),
            ("--topic-pattern", self.topic_pattern.is_some()),
            ("--label", !self.label.is_empty()),
        ];
        let given = of_paths.iter().filter(|(_, given)| *given);
        let wrong: Vec<_> =
            given.map(|(flag, _)| format!("{flag} is for files: - (standard input) has no path")).collect();
        if !wrong.is_empty() {
            return Err(ConfigError::Flags(wrong));
        }
        // Any path does: it is not followed.
        let input = self.input(&["/dev/stdin".to_owned()])?;
        Ok(input.for_tailer(max_line_bytes).lines)
    }

    /// Paths as an input.
    ///
    /// # Errors
    /// [`ConfigError::Flags`].
    pub fn input(self, paths: &[String]) -> Result<Input, ConfigError> {
        let paths: Result<_, _> = paths.iter().map(|path| PathGlob::read(path)).collect();
        let paths = paths.map_err(|wrong| ConfigError::Flags(vec![wrong.to_string()]))?;
        let multiline = MultilineKeys {
            preset: self.multiline_preset,
            starts_with: self.multiline_starts_with,
            ..MultilineKeys::default()
        };
        let keys = InputKeys {
            paths: Some(paths),
            exclude: (!self.exclude.is_empty()).then_some(self.exclude),
            topic: self.topic,
            topic_pattern: self.topic_pattern,
            labels: (!self.label.is_empty()).then(|| self.label.into_iter().collect()),
            encoding: self.encoding,
            format: self.format,
            ..InputKeys::default()
        };
        let multiline = (multiline != MultilineKeys::default()).then_some(multiline);
        let said = |mistakes: Vec<Mistake>| ConfigError::Flags(mistakes.iter().map(said).collect());
        Input::new(keys, multiline, Whose::Ours).map_err(said)
    }
}

/// A mistake by the flag that has it.
fn said(mistake: &Mistake) -> String {
    let what = &mistake.what;
    match mistake.key {
        "paths" => what.clone(),
        "labels" => format!("--label {}: {what}", mistake.element.as_deref().unwrap_or_default()),
        key => format!("--{}: {what}", key.replace(['_', '.'], "-")),
    }
}
