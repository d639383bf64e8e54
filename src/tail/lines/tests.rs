//! The framer against a model that has the whole file in its hands.

use proptest::prelude::*;

use super::*;

/// Content, truncated bytes, end.
type Owned = (Vec<u8>, u64, u64);

fn owned(line: Line<'_>) -> Owned {
    (line.content.to_vec(), line.truncated_bytes, line.end)
}

fn model(file: &[u8], position: u64, max_line_bytes: usize) -> Vec<Owned> {
    let mut end = position;
    let with_endings = file.split_inclusive(|&byte| byte == b'\n');
    let lines = with_endings.map(|line| {
        end += line.len() as u64;
        let content = match line {
            [content @ .., b'\r', b'\n'] | [content @ .., b'\n'] | content => content,
        };
        let kept = content.len().min(max_line_bytes);
        (content[..kept].to_vec(), (content.len() - kept) as u64, end)
    });
    lines.collect()
}

fn all(lines: &mut Lines) -> Vec<Owned> {
    let mut taken = Vec::new();
    while let Some(line) = lines.next_line() {
        taken.push(owned(line));
    }
    taken
}

fn texts(file: &[u8], max_line_bytes: usize) -> Vec<(String, u64)> {
    let mut lines = Lines::new(0, max_line_bytes);
    lines.extend(file);
    let text = |(content, truncated, _): Owned| (String::from_utf8(content).unwrap(), truncated);
    all(&mut lines).into_iter().map(text).collect()
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'a'), 2 => Just(b'\n'), 2 => Just(b'\r'), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..300)
}

#[derive(Debug, Clone)]
struct Step {
    block_bytes: usize,
    spare_bytes: usize,
    take: usize,
    shrinks: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let take = prop_oneof![0_usize..4, Just(usize::MAX)];
    let step =
        (1_usize..40, 0_usize..40, take, any::<bool>()).prop_map(|(block_bytes, more, take, shrinks)| Step {
            block_bytes,
            spare_bytes: block_bytes + more,
            take,
            shrinks,
        });
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn however_a_file_is_cut_into_blocks_its_lines_are_the_same(
        file in bytes(), steps in steps(), position in 0_u64..1 << 50, max_line_bytes in 0_usize..30,
    ) {
        let mut lines = Lines::new(position, max_line_bytes);
        let mut taken = Vec::new();
        let mut rest = file.as_slice();
        for step in steps.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (block, behind) = rest.split_at(step.block_bytes.min(rest.len()));
            rest = behind;
            prop_assert_eq!(lines.read_position(), position + (file.len() - rest.len() - block.len()) as u64);
            lines.spare(step.spare_bytes)[..block.len()].copy_from_slice(block);
            lines.filled(block.len());
            for _ in 0..step.take {
                let Some(line) = lines.next_line().map(owned) else { break };
                prop_assert_eq!(line.2, lines.position());
                taken.push(line);
            }
            if step.shrinks {
                lines.shrink();
            }
        }
        taken.extend(all(&mut lines));
        prop_assert_eq!(lines.read_position(), position + file.len() as u64);
        let unfinished = file.len() - file.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        prop_assert_eq!(lines.held_back(), unfinished.min(max_line_bytes + 1));
        taken.extend(lines.finish().map(owned));
        prop_assert_eq!(lines.finish(), None);
        prop_assert_eq!(lines.position(), position + file.len() as u64);
        prop_assert_eq!(taken, model(&file, position, max_line_bytes));
    }

    #[test]
    fn memory_stays_within_the_longest_line_and_one_block(
        file in bytes(), sizes in prop::collection::vec(1_usize..40, 1..10), max_line_bytes in 0_usize..30,
    ) {
        let mut lines = Lines::new(0, max_line_bytes);
        let greatest = sizes.iter().max().unwrap();
        let mut rest = file.as_slice();
        for &size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (block, behind) = rest.split_at(size.min(rest.len()));
            rest = behind;
            lines.extend(block);
            all(&mut lines);
            prop_assert!(lines.held_back() <= max_line_bytes + 1);
            prop_assert!(lines.buffer.capacity() <= max_line_bytes + 1 + greatest);
        }
    }
}

#[test]
fn a_carriage_return_belongs_to_the_ending_only_right_before_the_newline() {
    let line = |text: &str| (text.to_owned(), 0);
    assert_eq!(texts(b"a\r\n\r\n\n\rb\rc\n\r\r\n", 9), ["a", "", "", "\rb\rc", "\r"].map(line));
}

#[test]
fn an_ending_at_the_cut_is_not_counted_as_cut() {
    assert_eq!(
        texts(b"abc\r\nabcd\r\nabc\nab\r\n", 3),
        [("abc", 0), ("abc", 1), ("abc", 0), ("ab", 0)].map(|(text, cut)| (text.to_owned(), cut))
    );
    for at in 0..=5 {
        let mut lines = Lines::new(0, 3);
        let (first, second) = b"abc\r\n".split_at(at);
        lines.extend(first);
        assert!(at == 5 || lines.next_line().is_none());
        lines.extend(second);
        let line = lines.next_line().unwrap();
        assert_eq!((line.content, line.truncated_bytes, line.end), (b"abc".as_slice(), 0, 5));
    }
}

#[test]
fn a_line_far_too_long_is_cut_and_the_next_one_is_whole() {
    let mut lines = Lines::new(0, 10);
    for _ in 0..1000 {
        lines.extend(&[b'x'; 1000]);
        assert_eq!(lines.next_line(), None);
    }
    lines.extend(b"\r\nnext\n");
    let line = lines.next_line().unwrap();
    assert_eq!((line.content.len(), line.truncated_bytes, line.end), (10, 999_990, 1_000_002));
    assert_eq!(lines.next_line().unwrap().content, b"next");
}

/// Were held-back bytes scanned or moved again with every block, this would take minutes.
#[test]
fn a_long_line_that_comes_byte_by_byte_costs_no_more_than_its_bytes() {
    let mut lines = Lines::new(0, 1 << 20);
    lines.extend(b"short\nx");
    assert_eq!(lines.next_line().unwrap().content, b"short");
    for _ in 1..1 << 20 {
        lines.extend(b"x");
        assert_eq!(lines.next_line(), None);
    }
    lines.extend(b"\n");
    assert_eq!(lines.next_line().unwrap().content.len(), 1 << 20);
}

#[test]
fn after_a_seek_nothing_of_before_is_left() {
    let mut lines = Lines::new(0, 3);
    lines.extend(b"one\nfar too long");
    assert_eq!(lines.next_line().unwrap().end, 4);
    assert_eq!(lines.next_line(), None);
    lines.seek(100);
    assert_eq!((lines.position(), lines.read_position(), lines.held_back()), (100, 100, 0));
    lines.extend(b"two\n");
    let line = lines.next_line().unwrap();
    assert_eq!((line.content, line.truncated_bytes, line.end), (b"two".as_slice(), 0, 104));
}

#[test]
fn a_quiet_file_keeps_no_memory_but_its_unfinished_line() {
    let mut lines = Lines::new(0, 100);
    lines.spare(1 << 20)[..5].copy_from_slice(b"a\nbcd");
    lines.filled(5);
    assert_eq!(all(&mut lines).len(), 1);
    lines.shrink();
    assert_eq!((lines.held_back(), lines.buffer.capacity()), (3, 3));
    lines.extend(b"\n");
    assert_eq!(lines.next_line().unwrap().content, b"bcd");
    lines.shrink();
    assert_eq!(lines.buffer.capacity(), 0);
}

#[test]
fn nul_bytes_at_the_beginning_of_a_file_belong_to_no_line() {
    let mut lines = Lines::new(0, 10);
    for _ in 0..1000 {
        lines.extend(&[0; 1000]);
        assert_eq!(lines.next_line(), None);
        assert_eq!((lines.held_back(), lines.position()), (0, 0));
        assert!(lines.buffer.len() <= 1000);
    }
    assert_eq!(lines.finish(), None);
    lines.extend(b"\0\0on\0e\n\0\n");
    let line = lines.next_line().unwrap();
    assert_eq!((line.content, line.truncated_bytes, line.end), (b"on\0e".as_slice(), 0, 1_000_007));
    assert_eq!(lines.next_line().unwrap().content, b"\0");
    lines.seek(5);
    lines.extend(b"\0two\n");
    assert_eq!(lines.next_line().unwrap().content, b"\0two");
}
