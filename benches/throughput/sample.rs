//! The lines that are carried: always the same ones, and each tells its number.

/// Line `number` of 100 bytes, of which a part repeats as it does in logs.
pub(crate) fn hundred_bytes(number: u64) -> String {
    let mut line = real(number);
    line.truncate(100);
    while line.len() < 100 {
        line.push('.');
    }
    line
}

/// Line `number` as programs write it, of 60 to 300 bytes.
pub(crate) fn real(number: u64) -> String {
    let mut random = fastrand::Rng::with_seed(number);
    let (level, verb) = (["INFO", "INFO", "INFO", "WARN", "DEBUG"], ["GET", "GET", "POST", "PUT"]);
    let paths = ["/api/v1/orders", "/api/v1/orders/items", "/health", "/static/app.js", "/api/v1/users/me"];
    let (ms, s) = (number % 1000, number / 1000 % 60);
    let line = format!(
        "2026-11-21T04:12:{s:02}.{ms:03}Z {:<5} n={number} http: {} {}/{} status={} bytes={} took_ms={}",
        level[random.usize(..level.len())],
        verb[random.usize(..verb.len())],
        paths[random.usize(..paths.len())],
        random.u32(..100_000),
        [200, 200, 200, 204, 304, 404, 500][random.usize(..7)],
        random.u32(..50_000),
        random.u32(..900),
    );
    if random.u8(..3) > 0 {
        return line;
    }
    let client = [(); 3].map(|()| random.u8(..).to_string()).join(".");
    let trace = random.u128(..);
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";
    format!("{line} client=10.{client} trace={trace:032x} agent=\"{agent}\"")
}

/// Lines of a range as the content of a file.
pub(crate) fn text(numbers: std::ops::Range<u64>, line: fn(u64) -> String) -> String {
    let mut text = String::new();
    for number in numbers {
        text.push_str(&line(number));
        text.push('\n');
    }
    text
}
