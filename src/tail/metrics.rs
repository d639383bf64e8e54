//! What finding files counts.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// The counters of a [`Service`](super::Service). Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Looks for files, be it at one folder or at all.
    pub looks: Counter,
    /// Folders that were listed by them.
    pub listed_folders: Counter,
    /// Files and folders whose size, time and inode were asked for by them.
    pub examined_files: Counter,
}

impl Metrics {
    /// Shows them in `registry`, named `logrelay_tail_…`.
    pub fn show(&self, registry: &mut Registry) {
        let part = registry.sub_registry_with_prefix("logrelay_tail");
        part.register("looks", "Looks for files", self.looks.clone());
        part.register("listed_folders", "Folders listed by looks", self.listed_folders.clone());
        part.register("examined_files", "Files examined by looks", self.examined_files.clone());
    }
}
