//! The fields of a `Filter`, of every call that takes one.

use logrelay::proto::{Filter, Matcher, matcher::Op};

use super::row::Row;

/// What a filter is put into: a request that is right without it.
type Make<'a> = &'a dyn Fn(&str, Filter) -> Row;

/// All rows; `served` and `wrong` are the request with that filter, the latter refused for its
/// field of this name.
pub(super) fn rows(served: Make<'_>, wrong: &dyn Fn(&'static str, &str, Filter) -> Row) -> Vec<Row> {
    [matchers(served, wrong), expressions(served, wrong), globs(served, wrong), labels(served, wrong)]
        .concat()
}

fn one(op: Op, value: &str) -> Matcher {
    Matcher { op: op.into(), value: value.to_owned(), ignore_case: true }
}

fn of(matchers: Vec<Matcher>) -> Filter {
    Filter { matchers, ..Filter::default() }
}

fn matchers(served: Make<'_>, wrong: &dyn Fn(&'static str, &str, Filter) -> Row) -> Vec<Row> {
    let op = |op| of(vec![Matcher { op, ..one(Op::Contains, "x") }]);
    let value = "filter.matchers[0].value";
    let ops = ["none of CONTAINS (1), NOT_CONTAINS (2), MATCHES (3) and NOT_MATCHES (4)"];
    vec![
        served("nothing", Filter::default()).nothing("filter.matchers"),
        served("as many matchers as may be", of(vec![one(Op::NotContains, "x"); 16]))
            .longest("filter.matchers"),
        wrong("filter.matchers", "one matcher too many", of(vec![one(Op::Contains, "x"); 17]))
            .past("filter.matchers", &["17", "at most 16"]),
        wrong("filter.matchers[0].op", "no op", op(0)).nothing("filter.matchers[].op").says(&ops),
        served("the last op", op(4)).longest("filter.matchers[].op"),
        wrong("filter.matchers[0].op", "an op that is none", op(5))
            .past("filter.matchers[].op", &["5 is", ops[0]]),
        wrong("filter.matchers[0].op", "a negative op", op(-1)).says(&["-1 is", ops[0]]),
        wrong(value, "an empty value", of(vec![one(Op::Contains, "")]))
            .nothing("filter.matchers[].value")
            .says(&["empty", "1 to 4096"]),
        served("the longest text", of(vec![one(Op::Contains, &"a".repeat(4096))]))
            .longest("filter.matchers[].value"),
        served("the longest expression", of(vec![one(Op::Matches, &"a".repeat(4096))])),
        wrong(value, "a value too long", of(vec![one(Op::Contains, &"a".repeat(4097))]))
            .past("filter.matchers[].value", &["4097 bytes", "at most 4096"]),
        wrong(value, "an expression too long", of(vec![one(Op::Matches, &"a".repeat(4097))])),
    ]
}

fn expressions(served: Make<'_>, wrong: &dyn Fn(&'static str, &str, Filter) -> Row) -> Vec<Row> {
    let value = "filter.matchers[0].value";
    let bad = |what: &str, text: &str| wrong(value, what, of(vec![one(Op::Matches, text)]));
    let fine = |what: &str, text: &str| served(what, of(vec![one(Op::NotMatches, text)]));
    let nested = format!("{}a{}", "(".repeat(2000), ")".repeat(2000));
    vec![
        bad("no expression", "(").says(&["unclosed group"]),
        bad("look-around", "(?=a)").says(&["look-around"]),
        bad("a backreference", r"(a)\1").says(&["backreferences"]),
        bad("nested too deep", &nested).says(&["nest"]),
        bad("repeats that explode", "((a{1000}){1000}){1000}").says(&["too large"]),
        bad("classes that explode", r"[\pL--a]{1000}{10}").says(&["too large"]),
        bad("a class that is no class", "[z-a]").says(&["range"]),
        bad("a repeat that is none", "a{2,1}").says(&["repetition"]),
        fine("backtracking that would explode", "(a*)*(a*)*(a|aa)+$"),
        fine("an expression that matches nothing", r"[^\s\S]"),
    ]
}

fn globs(served: Make<'_>, wrong: &dyn Fn(&'static str, &str, Filter) -> Row) -> Vec<Row> {
    let many = |count: usize| (0..count).map(|number| format!("t{number}")).collect::<Vec<_>>();
    let hosts = |hosts: Vec<String>| Filter { hosts, ..Filter::default() };
    let paths = |paths: Vec<String>| Filter { paths, ..Filter::default() };
    let long = |count: usize| vec!["a".repeat(count)];
    vec![
        served("no hosts and paths", paths(Vec::new())).nothing("filter.hosts").nothing("filter.paths"),
        served("as many hosts as may be", hosts(many(16))).longest("filter.hosts"),
        served("as many paths as may be", paths(many(16))).longest("filter.paths"),
        wrong("filter.hosts", "one host too many", hosts(many(17)))
            .past("filter.hosts", &["17", "at most 16"]),
        wrong("filter.paths", "one path too many", paths(many(17)))
            .past("filter.paths", &["17", "at most 16"]),
        wrong("filter.hosts[0]", "an empty host", hosts(vec![String::new()]))
            .nothing("filter.hosts[]")
            .says(&["empty", "1 to 4096"]),
        wrong("filter.paths[1]", "an empty path", paths(vec!["a".to_owned(), String::new()]))
            .nothing("filter.paths[]")
            .says(&["empty", "1 to 4096"]),
        served("the longest host", hosts(long(4096))).longest("filter.hosts[]"),
        served("the longest path", paths(long(4096))).longest("filter.paths[]"),
        wrong("filter.hosts[0]", "a host too long", hosts(long(4097)))
            .past("filter.hosts[]", &["4097 bytes", "at most 4096"]),
        wrong("filter.paths[0]", "a path too long", paths(long(4097)))
            .past("filter.paths[]", &["4097 bytes", "at most 4096"]),
        wrong("filter.hosts[0]", "no glob", hosts(vec!["[".to_owned()])).says(&["no glob", "class"]),
        wrong("filter.hosts[0]", "a range of a glob", hosts(vec!["[z-a]".to_owned()])).says(&["range"]),
        wrong("filter.paths[1]", "no glob", paths(vec!["/a".to_owned(), "{a".to_owned()]))
            .says(&["no glob", "alternate"]),
        served("stars that would explode", paths(vec!["*a".repeat(1000)])),
        served("alternatives that would explode", paths(vec!["{a,b}".repeat(500)])),
    ]
}

fn labels(served: Make<'_>, wrong: &dyn Fn(&'static str, &str, Filter) -> Row) -> Vec<Row> {
    let label = |name: &str, value: &str| Filter {
        labels: [(name.to_owned(), value.to_owned())].into(),
        ..Filter::default()
    };
    let many = |count: usize| Filter {
        labels: (0..count).map(|number| (format!("t{number}"), String::new())).collect(),
        ..Filter::default()
    };
    let long = |count: usize| "a".repeat(count);
    vec![
        served("no labels", Filter::default()).nothing("filter.labels"),
        served("as many labels as may be", many(16)).longest("filter.labels").nothing("filter.labels.value"),
        wrong("filter.labels", "one label too many", many(17)).past("filter.labels", &["17", "at most 16"]),
        wrong("filter.labels", "no name", label("", "x"))
            .nothing("filter.labels.key")
            .says(&["empty", "1 to 4096"]),
        served("the longest name and value", label(&long(4096), &long(4096)))
            .longest("filter.labels.key")
            .longest("filter.labels.value"),
        wrong("filter.labels", "a name too long", label(&long(4097), "x"))
            .past("filter.labels.key", &["4097 bytes", "at most 4096"]),
        wrong("filter.labels[a]", "a value too long", label("a", &long(4097)))
            .past("filter.labels.value", &["4097 bytes", "at most 4096"]),
    ]
}
