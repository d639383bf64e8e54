//! The framer: however a file is cut into blocks, and wherever reading is taken up
//! again, its lines are those of a split at every newline; NUL bytes at its beginning, the
//! hole that a truncation leaves, belong to none.

use logrelay::tail::lines::{Line, Lines};

/// Content, truncated bytes, end.
type Owned = (Vec<u8>, u64, u64);

/// Bytes that are a bound of the length, a number of steps, two bytes a step, and a file.
pub fn check(data: &[u8]) {
    let [max_line_bytes, steps, rest @ ..] = data else { return };
    let (max_line_bytes, steps) = (usize::from(*max_line_bytes % 48), usize::from(*steps % 24));
    let Some((steps, file)) = rest.split_at_checked(2 * steps) else { return };
    let mut lines = Lines::new(0, max_line_bytes);
    let (mut taken, mut read) = (Vec::new(), 0);
    for step in steps.chunks_exact(2) {
        let block = &file[read..file.len().min(read + usize::from(step[0]))];
        read += block.len();
        lines.extend(block);
        for _ in 0..step[1] & 7 {
            taken.extend(lines.next_line().map(owned));
        }
        if step[1] & 8 != 0 {
            lines.shrink();
        }
        if step[1] & 16 != 0 {
            // As after a kill: from the last line that was taken on.
            lines = Lines::new(lines.position(), max_line_bytes);
            read = usize::try_from(lines.position()).unwrap_or(usize::MAX);
        }
        assert_eq!(lines.read_position(), read as u64);
    }
    lines.extend(&file[read..]);
    while let Some(line) = lines.next_line() {
        taken.push(owned(line));
    }
    assert!(lines.held_back() <= max_line_bytes + 1, "{} bytes are held", lines.held_back());
    taken.extend(lines.finish().map(owned));
    assert_eq!(taken, split(file, max_line_bytes));
}

fn owned(line: Line<'_>) -> Owned {
    (line.content.to_vec(), line.truncated_bytes, line.end)
}

/// The lines of a file that is there as a whole, behind the hole at its beginning.
fn split(file: &[u8], max_line_bytes: usize) -> Vec<Owned> {
    let hole = file.iter().position(|&byte| byte != 0).unwrap_or(file.len());
    let mut end = hole as u64;
    let lines = file[hole..].split_inclusive(|&byte| byte == b'\n').map(|line| {
        end += line.len() as u64;
        let content = match line {
            [content @ .., b'\r', b'\n'] | [content @ .., b'\n'] | content => content,
        };
        let kept = content.len().min(max_line_bytes);
        (content[..kept].to_vec(), (content.len() - kept) as u64, end)
    });
    lines.collect()
}

/// Files of short, long, empty and unfinished lines, in blocks of all kinds.
pub fn seeds() -> Vec<Vec<u8>> {
    let file = b"one\ntwo\r\n\r\n\nfar too long a line\r\n\xff\xfe\0\n\r\r\nunfinished\r";
    let steps = [[3, 7], [0, 1], [5, 9], [20, 16], [1, 23], [9, 2]];
    let with = |max: u8, hole: usize| [&[max, 6], steps.concat().as_slice(), &vec![0; hole], file].concat();
    vec![with(0, 0), with(3, 0), with(40, 0), with(5, 30)]
}
