//! Looks at folders that can hang, such as those of a network mount whose server is away. It
//! has a thread of its own, one at most, so that what is near is followed meanwhile.

use std::{
    future::pending,
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot,
    time::{sleep_until, timeout},
};
use tracing::warn;

use super::{
    Patterns,
    schedule::{Schedule, Scope},
};
use crate::tail::discover::{Found, Looked, Tree};

/// What takes longer is said.
const SLOW: Duration = Duration::from_secs(10);

/// Looks at the far folders of all inputs.
#[derive(Debug)]
pub(super) struct Far {
    /// Here while nobody looks; none has no folders.
    tree: Option<Tree>,
    looking: Option<oneshot::Receiver<(Tree, Looked, Duration)>>,
    /// What to look for once the thread comes back, in place of what it looks for.
    next: Option<Tree>,
    schedule: Schedule,
    /// What the last look has found, each file with the index of its input.
    files: Vec<(usize, Found)>,
    /// Is called for each folder before it is listed: never watched, as that can hang too.
    visit: fn(&Path) -> bool,
    is_said: bool,
}

impl Far {
    pub(super) fn new(poll_interval: Duration, visit: fn(&Path) -> bool) -> Self {
        let schedule = Schedule::new(poll_interval);
        let (tree, looking, next, files) = (None, None, None, Vec::new());
        Self { tree, looking, next, schedule, files, visit, is_said: false }
    }

    /// Looks for what is in this tree from now on. What was found counts until then, as far as
    /// the inputs still want it.
    pub(super) fn replace(&mut self, tree: Tree, inputs: &[Patterns], is_far: impl Fn(&Path) -> bool) {
        let input_of = |found: &Found| inputs.iter().position(|patterns| patterns.matches(&found.path));
        let files = std::mem::take(&mut self.files).into_iter();
        let files = files.filter(|(_, found)| is_far(&found.path));
        self.files = files.filter_map(|(_, found)| Some((input_of(&found)?, found))).collect();
        let place = if self.looking.is_some() { &mut self.next } else { &mut self.tree };
        *place = Some(tree);
        self.schedule.now();
    }

    /// Whether there is something to look for.
    pub(super) fn is_wanted(&self) -> bool {
        [&self.tree, &self.next].into_iter().flatten().any(|tree| !tree.is_empty())
    }

    /// What the last look has found.
    pub(super) fn files(&self) -> &[(usize, Found)] {
        &self.files
    }

    /// Waits for the end of the next look. Nothing is lost when the future is dropped.
    pub(super) async fn looked(&mut self) -> Looked {
        loop {
            if self.looking.is_none() {
                if !self.is_wanted() {
                    return pending().await;
                }
                sleep_until(self.schedule.next(None, true, false).1.into()).await;
                if let Err(error) = self.begin() {
                    warn!(%error, "cannot look at network folders");
                    return pending().await;
                }
            }
            let Some(looking) = &mut self.looking else { continue };
            let Ok(looked) = timeout(SLOW, looking).await else {
                if !std::mem::replace(&mut self.is_said, true) {
                    warn!("network folders do not answer: others are followed meanwhile");
                }
                continue;
            };
            self.looking = None;
            // The thread has failed: there is nothing to look with.
            let Ok((tree, looked, took)) = looked else { continue };
            self.is_said = false;
            if let Some(next) = self.next.take() {
                self.tree = Some(next);
                continue;
            }
            self.files = tree.names();
            self.tree = Some(tree);
            self.schedule.looked(Scope::Everything, Instant::now(), took);
            return looked;
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let Some(mut tree) = self.tree.take() else { return Ok(()) };
        let (done, looking) = oneshot::channel();
        let visit = self.visit;
        // Not one of the runtime's: a stop would wait for it.
        thread::Builder::new().name("far-folders".to_owned()).spawn(move || {
            let begin = Instant::now();
            let looked = tree.look(&visit);
            done.send((tree, looked, begin.elapsed())).ok();
        })?;
        self.looking = Some(looking);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    use futures_util::FutureExt as _;
    use tempfile::TempDir;
    use tokio::time::sleep;

    use super::*;

    static HANGS: AtomicBool = AtomicBool::new(false);
    static VISITS: AtomicU32 = AtomicU32::new(0);

    fn visit(_: &Path) -> bool {
        VISITS.fetch_add(1, SeqCst);
        while HANGS.load(SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        false
    }

    #[tokio::test]
    async fn folders_that_hang_hold_up_one_thread_and_nobody_who_waits_for_something_else() {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("a.log"), "line\n").unwrap();
        let patterns = |glob: &str| Patterns::parse(&[dir.path().join(glob).display().to_string()]).unwrap();
        let (logs, texts) = (patterns("*.log"), patterns("*.txt"));
        let mut far = Far::new(Duration::from_millis(10), visit);
        assert!(far.looked().now_or_never().is_none(), "nothing to look at");
        far.replace(Tree::new([&logs]), std::slice::from_ref(&logs), |_| true);
        far.looked().await;
        assert_eq!(far.files().len(), 1);

        HANGS.store(true, SeqCst);
        let before = VISITS.load(SeqCst);
        while VISITS.load(SeqCst) == before {
            tokio::select! {
                _ = far.looked() => panic!("it hangs"),
                () = sleep(Duration::from_millis(5)) => {}
            }
        }
        let both = [texts.clone(), logs.clone()];
        far.replace(Tree::new(&both), &both, |_| true);
        for _ in 0..20 {
            tokio::select! {
                _ = far.looked() => panic!("it hangs"),
                () = sleep(Duration::from_millis(1)) => {}
            }
        }
        assert_eq!(VISITS.load(SeqCst), before + 1, "a second thread");
        assert_eq!(far.files().iter().map(|(input, _)| *input).collect::<Vec<_>>(), [1], "still known");
        std::fs::write(dir.path().join("a.txt"), "line\n").unwrap();
        HANGS.store(false, SeqCst);
        far.looked().await;
        assert_eq!(far.files().iter().map(|(input, _)| *input).collect::<Vec<_>>(), [0, 1]);
    }
}
