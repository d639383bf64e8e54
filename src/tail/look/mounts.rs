//! Which folders are on file systems of other hosts, or of programs: to touch them can take
//! for ever. It is told without touching them.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

/// Names of file systems as the kernel gives them, without what follows a dot (`fuse.sshfs`).
const FAR: [&str; 19] = [
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "fuse", "9p", "ceph", "afs", "coda", "ncpfs", "lustre",
    "gfs2", "ocfs2", "gpfs", "beegfs", "panfs", "autofs",
];

/// What is mounted, and where. Empty where nothing is far, or the system does not say.
#[derive(Debug)]
pub(super) struct Mounts(Vec<(PathBuf, bool)>);

impl Mounts {
    /// What is mounted now. This asks the kernel alone, and does not block.
    pub(super) fn now() -> Self {
        Self::parse(&fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    /// See `proc_pid_mountinfo(5)`.
    fn parse(text: &[u8]) -> Self {
        let mounts = text.split(|byte| *byte == b'\n').filter_map(|line| {
            let mut words = line.split(|byte| *byte == b' ');
            let point = unescaped(words.nth(4)?);
            let name = words.skip_while(|word| *word != b"-").nth(1)?;
            let family = name.split(|byte| *byte == b'.').next()?;
            Some((point, FAR.iter().any(|far| far.as_bytes() == family)))
        });
        let mut mounts: Vec<_> = mounts.collect();
        if mounts.iter().all(|(_, is_far)| !is_far) {
            mounts.clear();
        }
        Self(mounts)
    }

    /// Whether what is at this path can hang. Links on the way are not followed.
    pub(super) fn is_far(&self, path: &Path) -> bool {
        let on = self.0.iter().filter(|(point, _)| path.starts_with(point));
        // Of those at one place the last one covers the others.
        on.max_by_key(|(point, _)| point.as_os_str().as_bytes().len()).is_some_and(|(_, is_far)| *is_far)
    }
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescaped(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let code = (byte == b'\\').then(|| after.first_chunk().copied()).flatten().and_then(octal);
        if code.is_some() {
            rest = after.get(3..).unwrap_or_default();
        }
        bytes.push(code.unwrap_or(byte));
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    let text = std::str::from_utf8(&digits).ok()?;
    u8::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
22 27 0:21 / / rw,relatime shared:1 - ext4 /dev/sda rw
23 22 0:30 / /mnt/logs rw - nfs4 server:/logs rw
24 22 0:31 / /mnt/my\\040share rw shared:3 master:1 - fuse.sshfs host: rw
25 23 0:32 / /mnt/logs/cache rw - tmpfs none rw
26 22 0:33 / /twice rw - cifs //a/b rw
27 22 0:34 / /twice rw - xfs /dev/sdb rw
a broken line
";

    #[test]
    fn folders_of_other_hosts_are_told_by_the_innermost_mount() {
        let mounts = Mounts::parse(TEXT);
        for far in ["/mnt/logs", "/mnt/logs/a/b", "/mnt/my share/x"] {
            assert!(mounts.is_far(Path::new(far)), "{far}");
        }
        for near in ["/", "/mnt", "/mnt/logs2", "/mnt/logs/cache/a", "/mnt/my", "/twice/a"] {
            assert!(!mounts.is_far(Path::new(near)), "{near}");
        }
        assert!(!Mounts::parse(b"").is_far(Path::new("/mnt/logs")));
    }
}
