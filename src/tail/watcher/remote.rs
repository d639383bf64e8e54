//! File systems on which others can write without this system's knowledge: watches there
//! report too little, and are not relied on.

use std::path::Path;

/// The magic numbers that `statfs` gives, from linux/magic.h and the drivers' sources.
const REMOTE: [(u32, &str); 20] = [
    (0x0000_6969, "nfs"),
    (0x0000_517B, "smb"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "ceph"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "kafs"),
    (0x7375_7245, "coda"),
    (0x0000_564C, "ncp"),
    (0x0BD0_0BD0, "lustre"),
    (0x0116_1970, "gfs2"),
    (0x7461_636F, "ocfs2"),
    (0x4750_4653, "gpfs"),
    (0x1983_0326, "beegfs"),
    (0xAAD7_AAEA, "panfs"),
    (0x786F_4256, "vboxsf"),
    (0xBACB_ACBC, "vmhgfs"),
    (0x7C7C_6673, "prlfs"),
];

/// The name of the file system that a folder is on, if others can write to it. It is not
/// where the system does not say.
pub(super) fn remote(folder: &Path) -> Option<&'static str> {
    rustix::fs::statfs(folder).ok().and_then(|about| remote_name(magic(about.f_type)))
}

fn magic(f_type: impl TryInto<i128>) -> u32 {
    // Systems differ in its type and sign; the number has 32 bits.
    f_type.try_into().ok().and_then(|magic| u32::try_from(magic & 0xFFFF_FFFF).ok()).unwrap_or(0)
}

fn remote_name(magic: u32) -> Option<&'static str> {
    REMOTE.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_from_local_ones_by_their_magic_number() {
        for (magic, name) in
            [(0x6969, "nfs"), (0xFF53_4D42, "cifs"), (0x6573_5546, "fuse"), (0x0102_1997, "9p")]
        {
            assert_eq!(remote_name(magic), Some(name));
        }
        // ext4, xfs, btrfs, tmpfs, overlay, zfs.
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1, 0] {
            assert_eq!(remote_name(local), None);
        }
    }

    #[test]
    fn a_magic_number_is_read_whatever_sign_the_system_gives_it() {
        assert_eq!((magic(0xFF53_4D42_i64), magic(-11_317_950_i32)), (0xFF53_4D42, 0xFF53_4D42));
    }

    #[test]
    fn a_local_folder_is_not_remote() {
        assert_eq!(remote(&std::env::temp_dir()), None);
    }
}
