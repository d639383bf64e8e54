//! Many readers, and several relays.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use logrelay::{
    client::{Event as Read, Options, Start, Subscription},
    proto::subscribe_response::Event,
};
use tokio::{task::JoinSet, time::timeout};

use crate::support::{
    TestRedis, eventually,
    relay::{Lines, TestRelay, from_earliest, serves, topic},
    writer::Writer,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn reading(urls: &[&str]) -> Subscription {
    let options = Options {
        relays: urls.iter().map(|url| url.parse().unwrap()).collect(),
        topics: vec!["app".parse().unwrap()],
        start: Start::Earliest,
        ..Options::default()
    };
    Subscription::new(options).unwrap()
}

/// Reads so many lines, each of which tells its number.
async fn read(subscription: &mut Subscription, lines: u64) {
    let mut next = 0;
    while next < lines {
        let event = timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap();
        let Read::Lines(lines) = event else { continue };
        for line in lines.iter() {
            assert_eq!(line.content, format!("line {next}").as_bytes());
            next += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_streams_over_five_connections_get_every_line() {
    const LINES: u64 = 200;
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut readers = JoinSet::new();
    for _ in 0..5 {
        let client = relay.client().await;
        for _ in 0..100 {
            let stream = client.clone().subscribe(from_earliest("app")).await.unwrap().into_inner();
            let mut lines = Lines::new(stream);
            readers.spawn(async move {
                lines.opened().await;
                lines.until(LINES).await;
                lines.are_numbered(0, LINES);
            });
        }
    }
    let mut writer = Writer::new(&redis, "app").await;
    for _ in 0..LINES {
        writer.append_numbered(1, 1).await;
    }
    let all = async {
        while let Some(read) = readers.join_next().await {
            read.unwrap();
        }
    };
    timeout(PATIENCE, all).await.unwrap();
}

#[tokio::test]
async fn a_relay_that_stops_says_so_to_load_balancers_first_and_serves_on_meanwhile() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| {
        serve.drain_notice_ms = 3000;
        serve.drain_ms = 20_000;
    })
    .await;
    let url = relay.url.clone();
    eventually("it serves", async || relay.serves().await).await;
    let mut writer = Writer::new(&redis, "app").await;
    let mut early = relay.subscribe(from_earliest("app")).await;
    early.opened().await;
    let client = relay.client().await;
    let stopping = relay.begin_stop();
    eventually("it says that it does not serve", async || !serves(&url).await).await;
    // Whoever was sent there by a load balancer that has not seen it yet is served.
    let stream = client.clone().subscribe(from_earliest("app")).await.unwrap().into_inner();
    let mut late = Lines::new(stream);
    writer.append_numbered(1, 3).await;
    for lines in [&mut early, &mut late] {
        lines.until(3).await;
        lines.are_numbered(0, 3);
        let (events, end) = lines.rest().await;
        end.unwrap();
        assert!(matches!(events.last(), Some(Event::Closing(_))), "{events:?}");
    }
    drop(client);
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn those_who_are_sent_away_together_do_not_come_back_together() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let client = relay.client().await;
    let mut streams = Vec::new();
    for _ in 0..400 {
        let stream = client.clone().subscribe(topic("app")).await.unwrap().into_inner();
        streams.push(Lines::new(stream));
    }
    drop(client);
    let stopping = relay.begin_stop();
    let mut waits = BTreeSet::new();
    for lines in &mut streams {
        let (events, _) = lines.rest().await;
        let Some(Event::Closing(closing)) = events.last() else { panic!("no closing: {events:?}") };
        let wait = Duration::try_from(closing.retry_after.unwrap()).unwrap();
        assert!(wait <= Duration::from_millis(400), "{wait:?}");
        waits.insert(wait.as_millis());
    }
    assert!(waits.len() > 100, "{} different waits", waits.len());
    drop(streams);
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn readers_spread_over_the_relays_that_they_are_given() {
    let redis = TestRedis::start().await;
    let relays = [TestRelay::start(&redis).await, TestRelay::start(&redis).await];
    Writer::new(&redis, "app").await.append_numbered(1, 5).await;
    let urls = [relays[0].url.as_str(), relays[1].url.as_str()];
    let mut subscriptions: Vec<_> = (0..40).map(|_| reading(&urls)).collect();
    for subscription in &mut subscriptions {
        read(subscription, 5).await;
    }
    for relay in &relays {
        let count = relay.metric("logrelay_serve_subscriptions").await;
        assert!(count > 0, "all went to the other one");
    }
}

/// A relay that other machines reach, too.
async fn at(redis: &TestRedis, listen: SocketAddr) -> TestRelay {
    TestRelay::with(redis, |serve, _| {
        serve.listen = listen;
        serve.access.insecure_public = true;
    })
    .await
}

#[tokio::test]
async fn a_relay_of_all_addresses_is_for_both_families() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6: skipped");
        return;
    }
    let redis = TestRedis::start().await;
    let relay = at(&redis, "[::]:0".parse().unwrap()).await;
    Writer::new(&redis, "app").await.append_numbered(1, 3).await;
    let port = relay.url.rsplit_once(':').unwrap().1.to_owned();
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        read(&mut reading(&[&format!("http://{host}:{port}")]), 3).await;
    }
    for address in link_local_addresses() {
        read(&mut reading(&[&format!("http://[{address}]:{port}")]), 3).await;
    }
}

#[tokio::test]
async fn a_relay_listens_on_an_address_with_its_interface() {
    let addresses = link_local_addresses();
    let Some(address) = addresses.first() else {
        eprintln!("this machine has no link-local address: skipped");
        return;
    };
    let redis = TestRedis::start().await;
    let (ip, interface) = address.split_once('%').unwrap();
    let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).unwrap();
    let listen: SocketAddr = format!("[{ip}%{}]:0", index.trim()).parse().unwrap();
    let relay = at(&redis, listen).await;
    Writer::new(&redis, "app").await.append_numbered(1, 3).await;
    let port = relay.url.rsplit_once(':').unwrap().1;
    read(&mut reading(&[&format!("http://[{address}]:{port}")]), 3).await;
}

/// Addresses of this machine that mean nothing without an interface, as `fe80::1%eth0`.
fn link_local_addresses() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter_map(|words| {
            let [address, .., interface] = words[..] else { return None };
            let address = u128::from_str_radix(address, 16).ok()?;
            let address = std::net::Ipv6Addr::from_bits(address);
            address.is_unicast_link_local().then(|| format!("{address}%{interface}"))
        })
        .collect()
}
