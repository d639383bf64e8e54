//! Pages of a topic in both directions: what is in them, and how they chain.

use logrelay::proto::{
    Direction, FetchRequest, FetchResponse, Filter, Matcher, Start, TrimTopicRequest, matcher::Op,
    start::Position, trim_topic_request::Before,
};
use prost::Message as _;
use redis::Cmd;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    TestRedis,
    relay::{TestRelay, reason},
    writer::Writer,
};

async fn fetch(relay: &TestRelay, request: FetchRequest) -> Result<FetchResponse, Status> {
    Ok(relay.client().await.fetch(request).await?.into_inner())
}

fn app() -> FetchRequest {
    FetchRequest { topic: "app".to_owned(), ..Default::default() }
}

fn backwards(request: FetchRequest) -> FetchRequest {
    FetchRequest { direction: Direction::Backwards.into(), ..request }
}

fn at(cursor: &str, request: FetchRequest) -> FetchRequest {
    FetchRequest { cursor: cursor.to_owned(), start: None, ..request }
}

fn containing(value: &str) -> Option<Filter> {
    let matcher = Matcher { op: Op::Contains.into(), value: value.to_owned(), ..Default::default() };
    Filter { matchers: vec![matcher], ..Default::default() }.into()
}

/// The offset of a cursor.
fn offset(cursor: &str) -> u64 {
    cursor.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// The lines of a page with their offsets.
fn lines(page: &FetchResponse) -> Vec<(u64, String)> {
    let each = page.batches.iter().flat_map(|batch| {
        batch.lines.iter().enumerate().map(|(index, line)| {
            let delta = batch.offset_deltas.get(index).map_or(index as u64, |&delta| delta.into());
            (batch.base_offset + delta, String::from_utf8_lossy(&line.content).into_owned())
        })
    });
    each.collect()
}

/// `line <offset>`, from one offset to before another.
fn numbered(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..to).map(|number| (number, format!("line {number}"))).collect()
}

#[tokio::test]
async fn pages_lead_to_the_tail_and_back_to_the_first_line() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(5, 10).await;
    let first = fetch(&relay, FetchRequest { max_lines: 12, ..app() }).await.unwrap();
    assert_eq!(lines(&first), numbered(0, 12));
    assert_eq!((first.at_first, first.at_tail, first.first_offset, first.next_offset), (true, false, 0, 50));
    let second = fetch(&relay, at(&first.next_cursor, app())).await.unwrap();
    assert_eq!((lines(&second), second.at_first, second.at_tail), (numbered(12, 50), false, true));
    assert_eq!(second.previous_cursor, first.next_cursor);
    // Nothing new, then something.
    let empty = fetch(&relay, at(&second.next_cursor, app())).await.unwrap();
    assert_eq!((lines(&empty), empty.at_tail, &empty.next_cursor), (vec![], true, &second.next_cursor));
    writer.append_numbered(1, 3).await;
    let more = fetch(&relay, at(&empty.next_cursor, app())).await.unwrap();
    assert_eq!(lines(&more), numbered(50, 53));

    let last = fetch(&relay, backwards(FetchRequest { max_lines: 15, ..app() })).await.unwrap();
    assert_eq!((lines(&last), last.at_tail, last.at_first), (numbered(38, 53), true, false));
    let before = fetch(&relay, backwards(at(&last.previous_cursor, app()))).await.unwrap();
    assert_eq!((lines(&before), before.at_tail, before.at_first), (numbered(0, 38), false, true));
    let nothing = fetch(&relay, backwards(at(&before.previous_cursor, app()))).await.unwrap();
    assert_eq!((lines(&nothing), nothing.at_first), (vec![], true));
    // Also in the very first batch, line by line.
    let mut request = backwards(FetchRequest { max_lines: 1, ..at(&first.next_cursor, app()) });
    for number in (0..12).rev() {
        let page = fetch(&relay, request.clone()).await.unwrap();
        assert_eq!((lines(&page), page.at_first), (numbered(number, number + 1), number == 0));
        request.cursor = page.previous_cursor;
    }
    // The cursor of a batch is one of pages, too, and each start is where it is for a subscription.
    let cursor = &before.batches[1].next_cursor;
    assert_eq!(lines(&fetch(&relay, at(cursor, app())).await.unwrap())[0].0, offset(cursor));
    let start = Some(Start { position: Some(Position::LastLines(4)) });
    assert_eq!(lines(&fetch(&relay, FetchRequest { start, ..app() }).await.unwrap()), numbered(49, 53));
    assert_eq!(
        lines(&fetch(&relay, backwards(FetchRequest { start, max_lines: 2, ..app() })).await.unwrap()),
        numbered(47, 49)
    );
}

#[tokio::test]
async fn a_trimmed_cursor_is_refused_forwards_and_has_nothing_before_it() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let missing = fetch(&relay, app()).await.unwrap_err();
    assert_eq!(reason(&missing), (Code::NotFound, "TOPIC_NOT_FOUND".to_owned()));
    Writer::new(&redis, "app").await.append_numbered(5, 10).await;
    let page = fetch(&relay, FetchRequest { max_lines: 15, ..app() }).await.unwrap();
    let trim = TrimTopicRequest { topic: "app".to_owned(), before: Some(Before::Offset(30)) };
    relay.client().await.trim_topic(trim).await.unwrap();
    let refused = fetch(&relay, at(&page.next_cursor, app())).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::OutOfRange, "CURSOR_TRIMMED".to_owned()));
    let metadata = refused.get_details_error_info().unwrap().metadata;
    assert_eq!((metadata["from_offset"].as_str(), metadata["first_offset"].as_str()), ("15", "30"));
    let rest = fetch(&relay, at(&metadata["cursor"], app())).await.unwrap();
    assert_eq!(lines(&rest), numbered(30, 50));
    let before = fetch(&relay, backwards(at(&page.next_cursor, app()))).await.unwrap();
    assert_eq!((lines(&before), before.at_first), (vec![], true));
    let ahead = fetch(&relay, at(&rest.next_cursor.replace(":50", ":51"), app())).await.unwrap_err();
    assert_eq!(reason(&ahead), (Code::InvalidArgument, "CURSOR_AHEAD".to_owned()));
}

#[tokio::test]
async fn a_cursor_of_a_lost_timeline_is_rewound_or_reset_and_says_so() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(4, 10).await;
    let (copy, then) = (redis.copy(), writer.record());
    writer.append_numbered(2, 10).await;
    let cursor = fetch(&relay, app()).await.unwrap().next_cursor;
    redis.replace_with(&copy).await;
    writer.go_back(then);
    writer.append_numbered(3, 10).await;
    let page = fetch(&relay, at(&cursor, app())).await.unwrap();
    let rewound = page.rewound.as_ref().unwrap();
    assert_eq!((rewound.from_offset, rewound.to_offset), (60, 40));
    assert_eq!(lines(&page), numbered(40, 70));
    let page = fetch(&relay, backwards(at(&cursor, app()))).await.unwrap();
    assert!(page.rewound.is_some());
    assert_eq!(lines(&page), numbered(0, 40));

    let unknown = "app@0000000000000001:7";
    let page = fetch(&relay, at(unknown, app())).await.unwrap();
    assert_eq!((page.reset.as_ref().unwrap().to_offset, lines(&page).len()), (0, 70));
    let page = fetch(&relay, backwards(at(unknown, FetchRequest { max_lines: 1, ..app() }))).await.unwrap();
    assert_eq!((page.reset.as_ref().unwrap().to_offset, lines(&page)), (70, numbered(69, 70)));
}

#[tokio::test]
async fn a_filter_that_finds_little_returns_with_cursors_that_are_further_on() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    // More entries than one call reads.
    for number in 0..6000 {
        writer.append(&[if number == 3000 { "needle" } else { "hay" }]).await;
    }
    for direction in [Direction::Forwards, Direction::Backwards] {
        let mut request = FetchRequest { direction: direction.into(), filter: containing("needle"), ..app() };
        let (mut calls, mut found) = (0, Vec::new());
        loop {
            let page = fetch(&relay, request.clone()).await.unwrap();
            found.extend(lines(&page));
            calls += 1;
            let (cursor, is_end) = match direction {
                Direction::Backwards => (&page.previous_cursor, page.at_first),
                _ => (&page.next_cursor, page.at_tail),
            };
            if is_end {
                break;
            }
            assert_ne!(*cursor, request.cursor, "it stands still");
            request.cursor.clone_from(cursor);
        }
        assert_eq!(found, [(3000, "needle".to_owned())]);
        assert!(calls > 1, "one call read everything");
    }
}

/// An entry past logrelay, of five lines.
async fn add_entry(redis: &TestRedis, next: u64, format: &str) {
    let mut control = redis.control().await;
    let epoch: String = control.run("HGET logrelay:{app}:state epoch").await;
    let ms: u64 = control.run("HGET logrelay:{app}:state ms").await;
    let mut add = Cmd::new();
    add.arg("XADD").arg("logrelay:{app}:lines").arg(format!("{}-{ms}", next + 4));
    add.arg("v").arg(format).arg("e").arg(epoch).arg("n").arg(5).arg("b").arg(b"\xff\xff junk");
    control.send(&add).await;
    let _: u64 = control.run(&format!("HSET logrelay:{{app}}:state next {}", next + 5)).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_a_gap_in_both_directions_and_what_is_too_new_is_refused() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    let append = async |writer: &mut Writer, from: u64| {
        let texts: Vec<_> = (from..from + 10).map(|number| format!("line {number}")).collect();
        assert_eq!(writer.append(&texts).await.get(), from);
    };
    append(&mut writer, 0).await;
    add_entry(&redis, 10, "1").await;
    add_entry(&redis, 15, "1").await;
    append(&mut writer, 20).await;
    for request in [app(), backwards(app())] {
        let page = fetch(&relay, request).await.unwrap();
        assert_eq!(lines(&page), [numbered(0, 10), numbered(20, 30)].concat());
        assert!(page.at_first && page.at_tail);
        let missing: u64 = page.gaps.iter().map(|gap| gap.to_offset - gap.from_offset).sum();
        let ends = (page.gaps[0].from_offset, page.gaps.last().unwrap().to_offset);
        assert_eq!((missing, ends), (10, (10, 20)), "{:?}", page.gaps);
    }
    add_entry(&redis, 30, "2").await;
    let page = fetch(&relay, app()).await.unwrap();
    assert_eq!((offset(&page.next_cursor), page.at_tail), (30, false));
    for request in [at(&page.next_cursor, app()), backwards(app())] {
        let refused = fetch(&relay, request).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::Unavailable, "NEWER_FORMAT".to_owned()));
    }
}

#[tokio::test]
async fn a_page_keeps_its_bounds_and_is_no_larger_than_clients_take() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    let large = "x".repeat(3 << 20);
    writer.append(&[&large]).await;
    for _ in 0..100 {
        writer.append(&vec!["y".repeat(900); 100]).await;
    }
    writer.append(&[&large]).await;
    for direction in [Direction::Forwards, Direction::Backwards] {
        for max_bytes in [1, 5000, 100_000, 4_128_768] {
            let request = FetchRequest { direction: direction.into(), max_bytes, max_lines: 8192, ..app() };
            let page = fetch(&relay, request.clone()).await.unwrap();
            assert!(page.encoded_len() < 4 << 20);
            if max_bytes < 4_000_000 {
                assert_eq!(lines(&page).len(), 1, "the line at the end is larger");
            } else {
                assert!(lines(&page).len() > 500);
            }
            let cursor =
                if direction == Direction::Forwards { page.next_cursor } else { page.previous_cursor };
            let next = fetch(&relay, at(&cursor, request)).await.unwrap();
            assert!(lines(&next).len() == 1 || next.encoded_len() <= max_bytes as usize + 500);
        }
    }
}

/// A reader that goes from page to page.
struct Chain {
    request: FetchRequest,
    /// Where it is.
    offset: u64,
    needle: &'static str,
}

/// What a topic has; its lines tell their offsets.
struct Model {
    first: u64,
    next: u64,
}

impl Chain {
    fn new(random: &mut fastrand::Rng, cursor: &str) -> Self {
        let needle = ["", "", "1", "7", "42"][random.usize(0..5)];
        let request = FetchRequest {
            direction: random.i32(1..=2),
            max_lines: [0, 1, 7, 100][random.usize(0..4)],
            max_bytes: [0, 1, 400, 3000][random.usize(0..4)],
            filter: containing(needle).filter(|_| !needle.is_empty()),
            ..at(cursor, app())
        };
        Self { request, offset: offset(cursor), needle }
    }

    /// Takes the next page, and holds it against the model.
    async fn step(&mut self, relay: &TestRelay, model: &Model) {
        let forwards = self.request.direction() == Direction::Forwards;
        let page = match fetch(relay, self.request.clone()).await {
            Ok(page) => page,
            Err(status) => {
                assert_eq!(reason(&status).1, "CURSOR_TRIMMED", "{status}");
                assert!(forwards && self.offset < model.first);
                let metadata = status.get_details_error_info().unwrap().metadata;
                assert_eq!(metadata["first_offset"], model.first.to_string());
                (self.offset, self.request.cursor) = (model.first, metadata["cursor"].clone());
                return;
            }
        };
        let (low, high) = (offset(&page.previous_cursor), offset(&page.next_cursor));
        let (here, there) = if forwards { (low, high) } else { (high, low) };
        assert_eq!(here, self.offset, "a hole or a repeat between pages");
        let wanted = |line: &(u64, String)| line.1.contains(self.needle);
        let expected: Vec<_> = numbered(low, high).into_iter().filter(wanted).collect();
        assert_eq!(lines(&page), expected);
        assert_eq!((page.at_first, page.at_tail), (low <= model.first, high >= model.next));
        let is_end = if forwards { page.at_tail } else { page.at_first };
        assert!(is_end || there != here, "it stands still");
        let cursor = if forwards { page.next_cursor } else { page.previous_cursor };
        (self.offset, self.request.cursor) = (there, cursor);
        // A reader may turn round.
        if is_end {
            let direction = if forwards { Direction::Backwards } else { Direction::Forwards };
            self.request.direction = direction.into();
        }
    }
}

#[tokio::test]
async fn chained_pages_have_no_hole_and_no_repeat_while_lines_are_appended_and_trimmed() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..8 {
        let redis = TestRedis::start().await;
        let relay = TestRelay::start(&redis).await;
        let mut writer = Writer::new(&redis, "app").await;
        writer.append_numbered(1, 10).await;
        let mut model = Model { first: 0, next: 10 };
        let cursor = fetch(&relay, app()).await.unwrap().next_cursor;
        let mut chains: Vec<_> = (0..4).map(|_| Chain::new(&mut random, &cursor)).collect();
        for _ in 0..80 {
            match random.u8(0..10) {
                0..3 => {
                    let (batches, lines) = (random.u64(1..8), random.u64(1..40));
                    writer.append_numbered(batches, lines).await;
                    model.next += batches * lines;
                }
                3 => {
                    let before = Before::Offset(random.u64(model.first..=model.next));
                    let trim = TrimTopicRequest { topic: "app".to_owned(), before: Some(before) };
                    model.first =
                        relay.client().await.trim_topic(trim).await.unwrap().into_inner().first_offset;
                }
                _ => {
                    let chain = random.usize(0..chains.len());
                    chains[chain].step(&relay, &model).await;
                }
            }
        }
    }
}
