//! The private Redis: one owner, its data kept, gone with its parent.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, time::Duration};

use logrelay::store::{PrivateServer, ServerError, ServerOptions};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{TestRedis, eventually};

/// Whether a server has the folder: who can start one there takes it.
async fn is_free(dir: &Path) -> bool {
    match PrivateServer::start(&ServerOptions::new(dir)).await {
        Ok(server) => {
            server.stop().await;
            true
        }
        Err(ServerError::InUse { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_second_owner_of_a_folder_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let server = PrivateServer::start(&ServerOptions::new(folder.path())).await.unwrap();
    let error = PrivateServer::start(&ServerOptions::new(folder.path())).await.unwrap_err().to_string();
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
    assert!(error.contains(&format!("by process {}", std::process::id())), "{error}");
    server.stop().await;
    assert!(is_free(folder.path()).await);
}

#[tokio::test]
async fn data_outlives_the_server_and_is_for_its_owner_only() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("with a space/below");
    let options = ServerOptions::new(&dir);
    let mut redis = TestRedis::start().await;
    for n in 0..3 {
        let mut control = redis.control().await;
        assert_eq!(control.run::<i64>("INCR runs").await, n + 1);
        if n == 1 {
            redis.kill().await;
        } else {
            redis.stop().await;
        }
        redis.start_again().await;
    }
    let server = PrivateServer::start(&options).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_copy_from_earlier_has_what_was_there_then() {
    let mut redis = TestRedis::start().await;
    redis.control().await.run::<()>("SET a 1").await;
    let copy = redis.copy();
    redis.control().await.run::<()>("SET a 2").await;
    redis.replace_with(&copy).await;
    assert_eq!(redis.control().await.run::<i64>("GET a").await, 1);
}

#[tokio::test]
async fn a_dropped_server_stops_and_frees_its_folder() {
    let folder = TempDir::new().unwrap();
    let server = PrivateServer::start(&ServerOptions::new(folder.path())).await.unwrap();
    drop(server);
    eventually("the folder is free", async || is_free(folder.path()).await).await;
}

#[tokio::test]
async fn a_server_that_dies_is_noticed() {
    let folder = TempDir::new().unwrap();
    let mut server = PrivateServer::start(&ServerOptions::new(folder.path())).await.unwrap();
    kill_process(server.pid(), Signal::KILL).unwrap();
    assert!(server.ended().await.contains("137"));
    assert!(is_free(folder.path()).await);
}

/// This test is the parent when it is started by the one below.
#[tokio::test]
async fn parent_to_be_killed() {
    let Some(dir) = std::env::var_os("LOGRELAY_TEST_SERVER_DIR") else { return };
    let _server = PrivateServer::start(&ServerOptions::new(dir)).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_server_goes_with_its_killed_parent_and_the_next_owner_waits_for_that() {
    let folder = TempDir::new().unwrap();
    let mut parent = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::parent_to_be_killed"])
        .env("LOGRELAY_TEST_SERVER_DIR", folder.path())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let socket = folder.path().join("redis.sock");
    let redis = redis::Client::open(format!("redis+unix://{}", socket.display())).unwrap();
    let mut connection = None;
    eventually("the server answers", async || {
        connection = redis.get_multiplexed_async_connection().await.ok();
        connection.is_some()
    })
    .await;
    let first = fs::read_to_string(folder.path().join("redis.pid")).unwrap();
    parent.kill().await.unwrap();

    // At once: the folder is still locked by the server that is about to stop.
    let server = PrivateServer::start(&ServerOptions::new(folder.path())).await.unwrap();
    assert_ne!(server.pid(), Pid::from_raw(first.trim().parse().unwrap()).unwrap());
    let ping = redis::cmd("PING").query_async::<String>(&mut connection.unwrap()).await;
    assert!(ping.is_err(), "the first server is still there");
    server.stop().await;
}

#[tokio::test]
async fn what_keeps_a_server_from_starting_is_said() {
    let folder = TempDir::new().unwrap();
    let options = ServerOptions::new(folder.path());
    let error = async |options: ServerOptions| PrivateServer::start(&options).await.unwrap_err().to_string();

    let missing = ServerOptions { binary: Some("/nowhere/redis-server".into()), ..options.clone() };
    let said = error(missing).await;
    assert!(said.contains("/nowhere/redis-server ended at once") && said.contains("not found"), "{said}");

    let bad = ServerOptions { extra_args: vec!["--nonsense".into(), "1".into()], ..options.clone() };
    let said = error(bad).await;
    assert!(said.contains("nonsense"), "{said}");

    let deep = ServerOptions::new(folder.path().join("d".repeat(100)));
    let said = error(deep).await;
    assert!(said.contains("too deep"), "{said}");

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let said = error(ServerOptions::new(&file)).await;
    assert!(said.contains("cannot make the data folder") && said.contains("file"), "{said}");
    tokio::time::timeout(Duration::from_secs(5), is_free(folder.path())).await.unwrap();
}
