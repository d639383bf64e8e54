//! The connections to Redis: kept alive, replaced when they break, bounded in time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use logrelay::store::{BlockingConnection, ConnectOptions, Connector, Error, LIVENESS_MARGIN_MS, Pool};
use redis::cmd;
use tokio::time::{sleep, timeout};

use crate::support::{TestRedis, eventually};

const NAME: &str = "logrelay-pool";
const POOL_SIZE: usize = 16;

async fn burst(pool: &Pool, commands: usize) {
    let answers = join_all((0..commands).map(|n| async move {
        let mut connection = pool.get().await?;
        connection.query::<usize>(cmd("ECHO").arg(n)).await
    }));
    for (n, answer) in answers.await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), n);
    }
}

/// Makes the pool as large as it may be, and returns the ids of its connections.
async fn grow(pool: &Pool, redis: &TestRedis) -> Vec<u64> {
    let held = join_all((0..POOL_SIZE).map(|_| pool.get())).await;
    assert!(held.iter().all(Result::is_ok));
    drop(held);
    let mut control = redis.control().await;
    let mut ids = Vec::new();
    eventually("the pool is full", async || {
        ids = control.ids(NAME).await;
        ids.len() == POOL_SIZE
    })
    .await;
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_outlive_the_timeout_of_the_server() {
    let redis = TestRedis::with_args(&["--timeout", "2"]).await;
    let pool = redis.pool();
    let first = grow(&pool, &redis).await;
    for round in 0..5 {
        // Longer than the server lets a silent connection live: nothing but time can show it.
        sleep(Duration::from_secs(6)).await;
        burst(&pool, 64).await;
        // The control connection is one that the server closes.
        assert_eq!(redis.control().await.ids(NAME).await, first, "round {round}");
    }
}

#[tokio::test]
async fn connections_that_the_server_closes_are_replaced_with_no_caller_involved() {
    let redis = TestRedis::start().await;
    let pool = redis.pool();
    let before = grow(&pool, &redis).await;
    let mut control = redis.control().await;
    for id in &before {
        let _: i64 = control.run(&format!("CLIENT KILL ID {id}")).await;
    }
    eventually("all connections are new ones", async || {
        let now = control.ids(NAME).await;
        now.len() == before.len() && now.iter().all(|id| !before.contains(id))
    })
    .await;
    burst(&pool, 64).await;
}

#[tokio::test]
async fn the_pool_heals_after_client_kill_of_all_and_after_a_restart() {
    let mut redis = TestRedis::start().await;
    let pool = redis.pool();
    grow(&pool, &redis).await;
    let mut generation = pool.generation();
    let before = *generation.borrow_and_update();
    let _: i64 = redis.control().await.run("CLIENT KILL TYPE normal SKIPME yes").await;
    generation.wait_for(|&now| now >= before + POOL_SIZE as u64).await.unwrap();
    burst(&pool, 64).await;

    redis.kill().await;
    redis.start_again().await;
    let mut control = redis.control().await;
    eventually("the pool is as large as before", async || control.ids(NAME).await.len() == POOL_SIZE).await;
    burst(&pool, 64).await;
}

#[tokio::test]
async fn a_checkout_costs_no_ping() {
    let redis = TestRedis::start().await;
    let pool = redis.pool();
    let mut control = redis.control().await;
    let pings = control.calls("ping").await;
    let echoes = control.calls("echo").await;
    for _ in 0..100 {
        burst(&pool, 10).await;
    }
    assert_eq!(control.calls("echo").await, echoes + 1000);
    assert_eq!(control.calls("ping").await, pings);
}

#[tokio::test]
async fn a_silent_connection_is_kept_alive_by_pings() {
    let redis = TestRedis::start().await;
    let options = ConnectOptions { keepalive_ms: 20, ..redis.options() };
    let pool = Pool::new(redis.connector(), &options);
    pool.get().await.unwrap();
    let mut control = redis.control().await;
    let pings = control.calls("ping").await;
    eventually("pings are sent", async || control.calls("ping").await >= pings + 10).await;
}

#[tokio::test]
async fn a_cancelled_call_takes_its_connection_out_of_the_pool() {
    let redis = TestRedis::start().await;
    let options = ConnectOptions { pool_size: 1, ..redis.options() };
    let pool = Pool::new(redis.connector(), &options);
    let mut connection = pool.get().await.unwrap();
    let id: u64 = connection.query(cmd("CLIENT").arg("ID")).await.unwrap();
    let cut = timeout(
        Duration::from_millis(50),
        connection.query::<Option<(String, String)>>(cmd("BLPOP").arg("nothing").arg(0)),
    )
    .await;
    assert!(cut.is_err());
    drop(connection);
    let mut connection = pool.get().await.unwrap();
    assert_ne!(connection.query::<u64>(cmd("CLIENT").arg("ID")).await.unwrap(), id);
    let mut control = redis.control().await;
    eventually("the old connection is closed", async || !control.ids(NAME).await.contains(&id)).await;
}

#[tokio::test]
async fn an_error_of_the_server_keeps_the_connection() {
    let redis = TestRedis::start().await;
    let pool = Pool::new(redis.connector(), &ConnectOptions { pool_size: 1, ..redis.options() });
    let mut connection = pool.get().await.unwrap();
    let id: u64 = connection.query(cmd("CLIENT").arg("ID")).await.unwrap();
    let error = connection.query::<()>(&cmd("NONSENSE")).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { code, .. } if code == "ERR"), "{error}");
    drop(connection);
    let mut connection = pool.get().await.unwrap();
    assert_eq!(connection.query::<u64>(cmd("CLIENT").arg("ID")).await.unwrap(), id);
}

#[tokio::test]
async fn a_script_is_uploaded_where_redis_does_not_have_it() {
    let redis = TestRedis::start().await;
    let pool = redis.pool();
    let script = redis::Script::new("return ARGV[1]");
    let mut connection = pool.get().await.unwrap();
    for flush in [false, true, false] {
        if flush {
            redis.control().await.run::<()>("SCRIPT FLUSH").await;
        }
        assert_eq!(connection.invoke::<i64>(&script.arg(7)).await.unwrap(), 7);
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_at_once_and_never_printed() {
    let redis = TestRedis::with_args(&["--requirepass", "right-one"]).await;
    let began = Instant::now();
    for (url, code) in [(redis.url().with_password("hunter2"), "WRONGPASS"), (redis.url(), "NOAUTH")] {
        let options = ConnectOptions { connect_timeout_ms: 60_000, ..ConnectOptions::new(url) };
        let connector = Connector::new(&options).unwrap();
        let pool = Pool::new(connector.clone(), &options);
        let error = pool.get().await.unwrap_err();
        assert!(matches!(&error, Error::Refused { code: is, .. } if is == code), "{error}");
        assert!(error.needs_an_operator());
        let printed = format!("{error} {error:?} {options:?} {connector:?} {pool:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let options = ConnectOptions::new(redis.url().with_password("right-one"));
    burst(&Pool::new(Connector::new(&options).unwrap(), &options), 1).await;
}

#[tokio::test]
async fn a_pool_without_redis_says_why_and_works_once_redis_is_there() {
    let mut redis = TestRedis::start().await;
    let options = ConnectOptions { connect_timeout_ms: 300, ..redis.options() };
    redis.stop().await;
    let pool = Pool::new(Connector::new(&options).unwrap(), &options);
    let error = pool.get().await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { why, .. } if why.contains("No such file")), "{error}");
    redis.start_again().await;
    eventually("the pool works", async || pool.get().await.is_ok()).await;
    burst(&pool, 64).await;
}

#[tokio::test]
async fn a_command_that_is_not_answered_ends_in_time_and_the_pool_recovers() {
    let redis = TestRedis::start().await;
    let options = ConnectOptions { response_timeout_ms: 200, connect_timeout_ms: 200, ..redis.options() };
    let pool = Pool::new(Connector::new(&options).unwrap(), &options);
    let mut connection = pool.get().await.unwrap();
    redis.freeze();
    let error = connection.query::<()>(&cmd("PING")).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { after_ms: 200, .. }), "{error}");
    drop(connection);
    redis.thaw();
    eventually("the pool works", async || {
        let Ok(mut connection) = pool.get().await else { return false };
        connection.query::<()>(&cmd("PING")).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn idle_connections_that_went_silent_are_replaced_with_no_caller_involved() {
    let redis = TestRedis::with_port(&[]).await;
    let options = ConnectOptions { keepalive_ms: 50, response_timeout_ms: 200, ..redis.options() };
    let pool = Pool::new(Connector::new(&options).unwrap(), &options);
    let before = grow(&pool, &redis).await;
    redis.freeze();
    // Longer than silence and the wait for an answer together; a frozen server shows nothing.
    sleep(Duration::from_secs(1)).await;
    redis.thaw();
    let mut control = redis.control().await;
    eventually("all connections are new ones", async || {
        let now = control.ids(NAME).await;
        now.len() == POOL_SIZE && now.iter().all(|id| !before.contains(id))
    })
    .await;
    burst(&pool, 64).await;
}

#[tokio::test]
async fn a_dropped_pool_closes_its_connections() {
    let redis = TestRedis::start().await;
    let pool = redis.pool();
    let ids = grow(&pool, &redis).await;
    let mut control = redis.control().await;
    drop(pool.clone());
    let now = control.ids(NAME).await;
    assert!(ids.iter().all(|id| now.contains(id)), "a clone took connections with it");
    drop(pool);
    eventually("all are closed", async || control.ids(NAME).await.is_empty()).await;
}

#[tokio::test]
async fn a_blocking_read_returns_what_is_there_waits_for_the_next_and_can_be_woken() {
    let redis = TestRedis::start().await;
    let mut control = redis.control().await;
    control.run::<()>("XADD a 1-0 f one").await;
    control.run::<()>("XADD a 2-0 f two").await;
    let mut reader = BlockingConnection::open(&redis.connector()).await.unwrap();
    let keys = ["a".to_owned(), "b".to_owned()];
    let ids = |a: &str, b: &str| [a.to_owned(), b.to_owned()];

    let read = reader.read(&keys, &ids("0", "0"), 1000, 1).await.unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!((read[0].0.as_str(), read[0].1[0].id.as_str()), ("a", "1-0"));
    assert_eq!(read[0].1[0].fields, [(b"f".to_vec(), b"one".to_vec())]);
    assert_eq!(reader.read(&keys, &ids("2", "0"), 10, 1).await.unwrap(), []);

    let after = ids("2", "0");
    let (nothing, ()) = tokio::join!(reader.read(&keys, &after, 10_000, 1), async {
        let blocked = "one is blocked";
        eventually(blocked, async || {
            control.run::<String>("INFO clients").await.contains("blocked_clients:1")
        })
        .await;
        let id = control.ids("logrelay-read").await[0];
        assert_eq!(control.run::<i64>(&format!("CLIENT UNBLOCK {id}")).await, 1);
    });
    assert_eq!(nothing.unwrap(), []);
    assert_eq!(control.ids("logrelay-read").await, [u64::try_from(reader.id()).unwrap()]);
}

#[tokio::test]
async fn a_blocking_read_from_a_frozen_server_ends_within_its_bound() {
    let redis = TestRedis::with_port(&[]).await;
    let mut reader = BlockingConnection::open(&redis.connector()).await.unwrap();
    redis.freeze();
    let (keys, ids) = (["a".to_owned()], ["0".to_owned()]);
    let began = Instant::now();
    let error = reader.read(&keys, &ids, 100, 1).await.unwrap_err();
    let bound = Duration::from_millis(100 + LIVENESS_MARGIN_MS);
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(began.elapsed() < bound + Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(reader.read(&keys, &ids, 100, 1).await.is_err(), "the connection counts as dead");

    redis.thaw();
    let mut reader = BlockingConnection::open(&redis.connector()).await.unwrap();
    assert_eq!(reader.read(&keys, &ids, 10, 1).await.unwrap(), []);
}
