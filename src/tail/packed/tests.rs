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
