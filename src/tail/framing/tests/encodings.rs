//! UTF-16 as files have it.

use super::*;

fn utf16(encoding: Encoding) -> LineOptions {
    LineOptions { encoding, ..options() }
}

const TEXT: &str = "one\r\ntwo \u{1f600} drei ä\n\nfour\u{a0a}\u{d0a}\n";
const LINES: [&str; 4] = ["one", "two \u{1f600} drei ä", "", "four\u{a0a}\u{d0a}"];

#[test]
fn a_byte_order_mark_decides_whatever_is_declared_and_is_no_content() {
    let with_mark = format!("\u{feff}{TEXT}");
    for declared in [Encoding::Utf16, Encoding::Utf16Le, Encoding::Utf16Be] {
        for written in [Encoding::Utf16Le, Encoding::Utf16Be] {
            assert_eq!(contents(&utf16(declared), &encoded(written, &with_mark)), LINES);
        }
    }
}

#[test]
fn without_a_mark_the_declared_order_holds() {
    assert_eq!(contents(&utf16(Encoding::Utf16), &encoded(Encoding::Utf16Le, TEXT)), LINES);
    assert_eq!(contents(&utf16(Encoding::Utf16Le), &encoded(Encoding::Utf16Le, TEXT)), LINES);
    assert_eq!(contents(&utf16(Encoding::Utf16Be), &encoded(Encoding::Utf16Be, TEXT)), LINES);
}

#[test]
fn a_mark_in_the_middle_is_content() {
    let bytes = encoded(Encoding::Utf16Le, "a\n\u{feff}b\n");
    assert_eq!(contents(&utf16(Encoding::Utf16), &bytes), ["a", "\u{feff}b"]);
}

#[test]
fn half_a_surrogate_pair_becomes_a_replacement_character() {
    let units =
        [0xd83d, u16::from(b'a'), 0xde00, 0xd83d, u16::from(b'\n'), 0xd83d, 0xd83d, 0xde00, u16::from(b'\n')];
    let bytes: Vec<_> = units.iter().copied().flat_map(u16::to_le_bytes).collect();
    assert_eq!(contents(&utf16(Encoding::Utf16), &bytes), ["\u{fffd}a\u{fffd}\u{fffd}", "\u{fffd}\u{1f600}"]);
}

/// Found by the fuzzer: where reading stopped at the cut, the half before it waited again.
#[test]
fn a_partial_line_that_ended_in_half_a_pair_is_cut_there_again() {
    let options = LineOptions { publish_partial_ms: Some(500), ..utf16(Encoding::Utf16) };
    let bytes: Vec<_> = [0xd83d_u16; 3].into_iter().flat_map(u16::to_le_bytes).collect();
    let mut file = File::new(&options, &bytes);
    file.read_all(usize::MAX);
    let units = file.wait();
    assert_eq!((units[0].0[0].0.as_str(), units[0].1), ("\u{fffd}\u{fffd}", 4));
    file.seek(0);
    let mut again = file.read_all(3);
    again.extend(file.wait());
    assert_eq!(again, units);
}

#[test]
fn a_long_line_is_cut_between_characters_and_counted_in_published_bytes() {
    let options = LineOptions { max_line_bytes: 4, ..utf16(Encoding::Utf16) };
    let mut file = File::new(&options, &encoded(Encoding::Utf16Le, "aääbc\nabcd\n"));
    let lines: Vec<_> = file.read_all(usize::MAX).into_iter().flat_map(|(lines, _)| lines).collect();
    assert_eq!(lines[0].0, "aä");
    assert_eq!((lines[0].1, lines[1].1), (4, 0));
}

#[test]
fn an_odd_last_byte_waits_for_its_other_half() {
    let bytes = encoded(Encoding::Utf16Le, "\u{feff}one\ntwo\n");
    for len in 0..bytes.len() {
        let mut file = File::new(&utf16(Encoding::Utf16), &bytes[..len]);
        let before = file.read_all(5);
        let position = file.framer.position();
        file.bytes.clone_from(&bytes);
        let after = file.read_all(5);
        assert_eq!(before.len() + after.len(), 2, "{len}");
        // The same when the reader is another.
        let again = File::at(&utf16(Encoding::Utf16), &bytes, position).read_all(3);
        assert_eq!(again, after, "{len}");
    }
    let mut gone = File::new(&utf16(Encoding::Utf16), &bytes[..bytes.len() - 1]);
    gone.read_all(usize::MAX);
    assert_eq!(gone.finish()[0].0[0].0, "two\u{fffd}");
}

#[test]
fn a_hole_at_the_beginning_belongs_to_no_line() {
    for encoding in [Encoding::Raw, Encoding::Utf16Le, Encoding::Utf16Be] {
        let bytes = [vec![0; 1000], encoded(encoding, "one\ntwo\n")].concat();
        let mut file = File::new(&utf16(encoding), &bytes);
        let units = file.read_all(7);
        assert_eq!(units.iter().map(|(lines, _)| lines[0].0.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(units[1].1, bytes.len() as u64);
    }
}

#[test]
fn a_partial_line_is_published_only_if_asked_and_its_rest_is_a_line_of_its_own() {
    for encoding in [Encoding::Raw, Encoding::Utf16Le] {
        let bytes = encoded(encoding, "one\ntw");
        let mut waiting = File::new(&utf16(encoding), &bytes);
        assert_eq!((waiting.read_all(9).len(), waiting.wait().len()), (1, 0));
        let asked = LineOptions { publish_partial_ms: Some(500), ..utf16(encoding) };
        let mut file = File::new(&asked, &bytes);
        file.read_all(9);
        file.framer.expire(file.now + Duration::from_millis(499));
        assert_eq!(take(&mut file.framer), []);
        assert_eq!(file.wait()[0].0[0].0, "tw");
        file.bytes.extend(encoded(encoding, "o\nthree\n"));
        let rest = file.read_all(9);
        assert_eq!(rest.iter().map(|(lines, _)| lines[0].0.as_str()).collect::<Vec<_>>(), ["o", "three"]);
    }
}
