//! What is in compressed files, whole and not.

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};

use super::*;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn content() -> Vec<u8> {
    (0..40_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn packed(name: &str, bytes: &[u8]) -> Packed {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Packed::new(File::open(&path).unwrap(), &path, Arc::new(Facts::new(Duration::from_secs(60))))
}

#[test]
fn any_place_can_be_read_forwards_and_backwards_over_several_members() {
    let content = content();
    let (first, second) = content.split_at(70_001);
    let members = [gzip(first), gzip(second), gzip(b"")].concat();
    let frames = [zstd::encode_all(first, 1).unwrap(), zstd::encode_all(second, 1).unwrap()].concat();
    for packed in [packed("a.gz", &members), packed("a.zst", &frames)] {
        for position in [0, 69_999, 70_001, 5, 150_000, 149_000] {
            let mut bytes = vec![0; 3000];
            let read = packed.read_at(&mut bytes, position as u64).unwrap();
            assert!(read > 0);
            assert_eq!(bytes[..read], content[position..position + read], "{position}");
        }
        let extent = packed.extent().unwrap();
        assert_eq!(extent, Extent { len: content.len() as u64, end: End::Whole });
        assert_eq!(packed.head(10).unwrap(), content[..10]);
        assert_eq!(packed.print_before(2000, 1024).unwrap(), Some(PrintHash::of(&content[976..2000])));
        assert_eq!(packed.print_before(extent.len + 1, 1024).unwrap(), None);
        assert!(!packed.facts().is_unfinished());
    }
}

#[test]
fn what_ends_too_early_is_unfinished_and_what_is_wrong_inside_is_spoiled() {
    let (content, whole) = (content(), gzip(&content()));
    for cut in [0, 5, whole.len() / 2, whole.len() - 1] {
        let packed = packed("a.gz", &whole[..cut]);
        let extent = packed.extent().unwrap();
        assert_eq!(extent.end, End::Cut, "{cut}");
        assert!(packed.facts().is_unfinished());
        let mut bytes = vec![0; 100];
        let read = packed.read_at(&mut bytes, extent.len.saturating_sub(50)).unwrap();
        assert_eq!(read as u64, extent.len.min(50));
        let from = content.len().min(usize::try_from(extent.len).unwrap() - read);
        assert_eq!(bytes[..read], content[from..from + read]);
    }
    let with_garbage = [whole.as_slice(), b"garbage behind it"].concat();
    for bytes in [with_garbage, b"no gzip at all".to_vec()] {
        let packed = packed("a.gz", &bytes);
        assert!(matches!(packed.extent().unwrap().end, End::Spoiled(_)));
        assert!(!packed.facts().is_unfinished());
    }
    // A wrong length inside can look like a file that ends too early.
    let mut spoiled = whole.clone();
    spoiled[whole.len() / 2..][..64].fill(0xff);
    assert_ne!(packed("a.gz", &spoiled).extent().unwrap().end, End::Whole);
}

#[test]
fn what_was_found_out_is_known_without_the_file() {
    let file = packed("a.gz", &gzip(&content()));
    let (head, print, extent) =
        (file.head(9).unwrap(), file.print_before(900, 900).unwrap(), file.extent().unwrap());
    let empty = tempfile::tempfile().unwrap();
    let again = Packed::new(empty, Path::new("a.gz"), Arc::clone(&file.facts));
    assert_eq!(again.head(9).unwrap(), head);
    assert_eq!(again.print_before(900, 900).unwrap(), print);
    assert_eq!(again.extent().unwrap(), extent);
}

#[test]
fn what_stands_before_damage_is_the_same_however_it_is_read() {
    let line = |number: u32| format!("{} line {number}\n", number.wrapping_mul(2_654_435_761));
    let content: Vec<u8> = (0..8_000).flat_map(|number| line(number).into_bytes()).collect();
    let (first, second) = content.split_at(70_001);
    let [members, frames] =
        [[gzip(first), gzip(second)], [first, second].map(|part| zstd::encode_all(part, 1).unwrap())];
    for (name, [first, second]) in [("a.gz", members), ("a.zst", frames)] {
        let begin = first.len();
        let whole = [first, second].concat();
        // At the beginnings it is said how much follows: one bit makes it more, or less.
        for damaged in (0..whole.len()).step_by(1_999).chain(0..20).chain(begin..begin + 20) {
            let mut file = whole.clone();
            file[damaged] ^= 1;
            let lens = [1, 777, 4096, 65_536, 1 << 20].map(|size| {
                let packed = packed(name, &file);
                let (mut bytes, mut len) = (vec![0; size], 0);
                while let read @ 1.. = packed.read_at(&mut bytes, len).unwrap() {
                    len += read as u64;
                }
                assert_eq!(len, packed.extent().unwrap().len, "{name}, {damaged}, {size} at a time");
                len
            });
            let whole = packed(name, &file).extent().unwrap().len;
            assert_eq!(lens, [whole; 5], "{name}, {damaged}");
        }
    }
}
