//! The configuration file while the tailer runs: whether it says something else than before.

use std::{io, path::PathBuf};

use tracing::warn;

/// A file that is looked at now and then. Its content is compared, and not its time or its
/// inode: editors and Kubernetes put other files and links in its place.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    /// What it said when it was taken over, or refused.
    text: String,
    /// What it said at the last look, where that is something else.
    changed: Option<String>,
    /// Why it could not be read at the last look.
    trouble: Option<String>,
}

impl ConfigFile {
    /// A file that has been read.
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        Self { path, text, changed: None, trouble: None }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// What it says now, if it is something new: twice in a row, as one that is just being
    /// written may be half of what it will be. That it cannot be read is said once.
    pub(super) async fn look(&mut self) -> Option<&str> {
        let text = self.read().await?;
        if text == self.text {
            self.changed = None;
        } else if self.changed.as_ref() == Some(&text) {
            self.text = self.changed.take()?;
            return Some(&self.text);
        } else {
            self.changed = Some(text);
        }
        None
    }

    /// What it says now, whether or not that is new.
    pub(super) async fn read_again(&mut self) -> Option<&str> {
        self.trouble = None;
        self.text = self.read().await?;
        self.changed = None;
        Some(&self.text)
    }

    async fn read(&mut self) -> Option<String> {
        let read: io::Result<String> = tokio::fs::read_to_string(&self.path).await;
        match read {
            Ok(text) => {
                self.trouble = None;
                Some(text)
            }
            Err(error) => {
                let trouble = Some(error.to_string());
                if self.trouble != trouble {
                    let path = self.path.display();
                    warn!(%path, %error, "the configuration cannot be read, and stays as it is");
                    self.trouble = trouble;
                }
                None
            }
        }
    }
}
