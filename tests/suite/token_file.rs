//! A client whose token is replaced in its file goes on; one whose token is not, ends.

use std::{fs, sync::Arc};

use logrelay::client::{Credentials, Error, Event, Options, Start, Subscription, Token};
use tempfile::TempDir;
use tonic::Code;

use crate::{
    access::{AccessFile, guarded},
    support::{TestRedis, writer::Writer},
};

#[tokio::test]
async fn a_reader_goes_on_with_the_next_token_of_its_file_and_ends_where_there_is_none() {
    let redis = TestRedis::start().await;
    let file = AccessFile::new();
    let first = file.add("first", "read = [\"app\"]");
    let relay = guarded(&redis, &file).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(1, 1).await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, &first).unwrap();
    let mut credentials = Credentials::default();
    credentials.token = Some(Token::File(path.clone()));
    let relay = relay.url.parse::<logrelay::client::RelayAddress>().unwrap().with(Arc::new(credentials));
    let mut subscription = Subscription::new(Options {
        relays: vec![relay],
        topics: vec!["app".parse().unwrap()],
        start: Start::Earliest,
        retry_first_ms: 1,
        retry_max_ms: 10,
        ..Options::default()
    })
    .unwrap();
    assert_eq!(line(&mut subscription).await.unwrap(), "line 0");
    file.write("");
    let second = file.add("second", "read = [\"app\"]");
    fs::write(&path, &second).unwrap();
    writer.append_numbered(1, 1).await;
    assert_eq!(line(&mut subscription).await.unwrap(), "line 1");
    file.write("");
    let error = line(&mut subscription).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { code: Code::Unauthenticated, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains(&second));
}

async fn line(subscription: &mut Subscription) -> Result<String, Error> {
    loop {
        if let Some(Event::Lines(lines)) = subscription.next().await? {
            let line = lines.iter().next().unwrap();
            return Ok(String::from_utf8(line.content.to_vec()).unwrap());
        }
    }
}
