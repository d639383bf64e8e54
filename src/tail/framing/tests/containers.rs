//! Container formats, with parts and streams that alternate.

use super::*;

fn format(format: Format) -> LineOptions {
    LineOptions { format, ..options() }
}

fn lines(options: &LineOptions, text: &str) -> Vec<Unit> {
    File::new(options, text.as_bytes()).read_all(usize::MAX)
}

#[test]
fn a_docker_line_keeps_its_stream_and_time() {
    let text = r#"{"log":"a \"b\" \u00e4\r\n","stream":"stderr","time":"2016-10-06T00:17:09.669794202Z"}"#;
    let units = lines(&format(Format::Docker), &format!("{text}\n"));
    assert_eq!(
        units[0].0,
        [("a \"b\" ä".to_owned(), 0, 1_475_713_029_669_794_202, Some("stderr".to_owned()))]
    );
}

#[test]
fn attributes_of_a_docker_line_are_labels() {
    let text = r#"{"log":"a\n","stream":"stdout","attrs":{"tag":"web"},"time":"2016-10-06T00:17:09Z"}"#;
    let mut framer = Framer::new(&format(Format::Docker), 0, &[]);
    framer.extend(format!("{text}\n").as_bytes(), Instant::now());
    let labels = framer.next_line().unwrap().labels.unwrap().clone();
    assert_eq!(
        labels,
        [("stream", "stdout"), ("tag", "web")].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
    );
}

#[test]
fn a_cri_line_keeps_its_stream_and_time_and_may_have_more_tags() {
    let text =
        "2016-10-06T02:17:09.669794202+02:00 stdout F:tag the content\n2016-10-06T00:17:09Z stderr F \n";
    let units = lines(&format(Format::Cri), text);
    assert_eq!(
        units[0].0,
        [("the content".to_owned(), 0, 1_475_713_029_669_794_202, Some("stdout".to_owned()))]
    );
    assert_eq!((units[1].0[0].0.as_str(), units[1].0[0].3.as_deref()), ("", Some("stderr")));
}

#[test]
fn parts_of_a_line_are_put_together_and_cut_as_one() {
    for of in [Format::Docker, Format::Cri] {
        let wrap = |text, partial| wrapped(of, text, true, partial) + "\n";
        let text = wrap("ab", true) + &wrap("cd", true) + &wrap("ef", false) + &wrap("gh", false);
        let options = LineOptions { max_line_bytes: 5, ..format(of) };
        let units = lines(&options, &text);
        let line = |unit: &Unit| (unit.0[0].0.clone(), unit.0[0].1);
        assert_eq!(
            units.iter().map(line).collect::<Vec<_>>(),
            [("abcde".to_owned(), 1), ("gh".to_owned(), 0)]
        );
    }
}

#[test]
fn lines_of_another_stream_between_two_parts_are_one_unit_with_them() {
    for of in [Format::Docker, Format::Cri] {
        let wrap = |text, out, partial| wrapped(of, text, out, partial) + "\n";
        let text = wrap("1", true, false)
            + &wrap("ou", true, true)
            + &wrap("er", false, true)
            + &wrap("r", false, false)
            + &wrap("t", true, false)
            + &wrap("2", true, false);
        let units = lines(&format(of), &text);
        let texts: Vec<Vec<_>> =
            units.iter().map(|(lines, _)| lines.iter().map(|line| line.0.as_str()).collect()).collect();
        assert_eq!(texts, [vec!["1"], vec!["out", "err"], vec!["2"]]);
    }
}

#[test]
fn a_part_whose_rest_does_not_come_is_published_after_a_while() {
    let text = wrapped(Format::Cri, "half", true, true) + "\n";
    let mut file = File::new(&format(Format::Cri), text.as_bytes());
    assert_eq!(file.read_all(usize::MAX), []);
    assert_eq!(file.wait()[0].0[0].0, "half");
}

#[test]
fn a_line_that_is_not_of_the_format_is_published_as_it_is_and_told_once() {
    let good = wrapped(Format::Docker, "good", true, false);
    let bad = [
        "",
        "{",
        "[]",
        r#"{"log":"a\n","stream":"stdin","time":"2016-10-06T00:17:09Z"}"#,
        r#"{"stream":"stdout","time":"2016-10-06T00:17:09Z"}"#,
        r#"{"log":"a\n","stream":"stdout","time":"yesterday"}"#,
        r#"{"log":"a\n","stream":"stdout","time":"1905-10-06T00:17:09Z"}"#,
        r#"{"log":"a\n","stream":"stdout","time":"2016-10-06T00:17:09Z","level":"info"}"#,
    ];
    let text = bad.map(|bad| [&good, bad].join("\n") + "\n").concat();
    let mut file = File::new(&format(Format::Docker), text.as_bytes());
    let units = file.read_all(usize::MAX);
    let expected: Vec<_> = bad.iter().flat_map(|bad| ["good", bad]).collect();
    assert_eq!(units.iter().map(|(lines, _)| lines[0].0.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(file.framer.take_malformed(), Some(good.len() as u64 + 1));
    assert_eq!(file.framer.take_malformed(), None);

    let bad = "2016-10-06T00:17:09Z stdout X a\n2016-10-06T00:17:09Z stdin F a\nnever stdout F a\n2016-10-06T00:17:09Z\n";
    let contents: Vec<_> =
        lines(&format(Format::Cri), bad).into_iter().map(|(lines, _)| lines[0].0.clone()).collect();
    assert_eq!(contents, bad.lines().collect::<Vec<_>>());
}

#[test]
fn a_unit_without_end_is_ended_by_its_bound() {
    let open = wrapped(Format::Cri, "open", true, true) + "\n";
    let other = wrapped(Format::Cri, "other", false, false) + "\n";
    let mut file = File::new(&format(Format::Cri), (open + &other.repeat(5000)).as_bytes());
    let units = file.read_all(usize::MAX);
    assert_eq!(units.iter().map(|(lines, _)| lines.len()).sum::<usize>(), 5001);
    assert!(units.iter().all(|(lines, _)| lines.len() < 1100));
}

#[test]
fn groups_of_two_streams_that_alternate_are_both_whole() {
    let multiline = Some(Multiline::new(JoinRule::Indented));
    let options = LineOptions { multiline, ..format(Format::Cri) };
    let wrap = |text: &str, out| wrapped(Format::Cri, text, out, false) + "\n";
    let text = wrap("a", true)
        + &wrap("x", false)
        + &wrap(" b", true)
        + &wrap(" y", false)
        + &wrap("c", true)
        + &wrap("z", false);
    let mut file = File::new(&options, text.as_bytes());
    let texts = |units: &[Unit]| {
        units
            .iter()
            .map(|(lines, _)| lines.iter().map(|line| line.0.clone()).collect())
            .collect::<Vec<Vec<_>>>()
    };
    assert_eq!(texts(&file.read_all(usize::MAX)), [["a\n b", "x\n y"]]);
    assert_eq!(texts(&file.finish()), [["c"], ["z"]]);
}

#[test]
fn a_carriage_return_at_the_end_of_a_part_is_content() {
    for of in [Format::Docker, Format::Cri] {
        let wrap = |text, partial| wrapped(of, text, true, partial) + "\n";
        let units = lines(&format(of), &(wrap("50 %\r", true) + &wrap("100 %\r", false)));
        assert_eq!(units[0].0[0].0, "50 %\r100 %");
    }
}
