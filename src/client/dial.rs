//! From the name of a relay to a connection: all addresses that the name has are candidates,
//! and it is looked up anew every time. Not here: what is spoken over it.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    net::{TcpStream, lookup_host},
    time::sleep,
};

use super::turn::Ask;

/// How long an address is waited for before the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// What the system's resolver says.
pub(super) async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host((host.as_str(), port)).await?.collect())
}

/// Connects to the first address that answers.
///
/// # Errors
/// That of the resolver, or of the last address that failed.
pub(super) async fn dial<F>(ask: Ask, look_up: impl FnOnce(String, u16) -> F) -> io::Result<TcpStream>
where
    F: Future<Output = io::Result<Vec<SocketAddr>>>,
{
    let (host, port) = (ask.relay.host(), ask.relay.port());
    let mut waiting = ask.order(look_up(host.to_owned(), port).await?).into_iter();
    let mut tried = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    loop {
        match waiting.next() {
            Some(address) => tried.push(TcpStream::connect(address)),
            None if tried.is_empty() => return Err(last),
            None => {}
        }
        tokio::select! {
            Some(connected) = tried.next() => match connected {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            },
            () = sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        net::{IpAddr, Ipv4Addr},
    };

    use tokio::net::TcpListener;

    use super::{super::turn::Turn, *};

    /// Two addresses of this machine with the same port, as one name has them.
    async fn two_addresses() -> [TcpListener; 2] {
        loop {
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = first.local_addr().unwrap().port();
            if let Ok(second) = TcpListener::bind(("127.0.0.2", port)).await {
                return [first, second];
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn clients_spread_over_the_addresses_of_a_name_and_go_to_the_next_one() {
        let [first, second] = two_addresses().await;
        let answer: Vec<_> = [&first, &second].map(|listener| listener.local_addr().unwrap()).into();
        let port = answer[0].port();
        let relay = format!("relays.example:{port}").parse().unwrap();
        let look_up = |host: String, asked: u16| {
            assert_eq!((host.as_str(), asked), ("relays.example", port));
            std::future::ready(Ok(answer.clone()))
        };
        let peer = async |turn: &mut Turn| {
            let stream = dial(turn.next().unwrap(), look_up).await.unwrap();
            stream.peer_addr().unwrap().ip()
        };
        let all = BTreeSet::from([1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))));
        let mut firsts = BTreeSet::new();
        for _ in 0..50 {
            let mut turn = Turn::new(std::slice::from_ref(&relay));
            let (one, other) = (peer(&mut turn).await, peer(&mut turn).await);
            assert_eq!(BTreeSet::from([one, other]), all, "the next attempt is for the other address");
            firsts.insert(one);
        }
        assert_eq!(firsts, all);
        drop(first);
        let mut turn = Turn::new(&[relay]);
        for _ in 0..4 {
            assert_eq!(peer(&mut turn).await.to_string(), "127.0.0.2", "the other one is gone");
        }
    }

    #[tokio::test]
    async fn what_the_resolver_says_is_the_error() {
        let relays = ["nowhere.example:7171".parse().unwrap()];
        let ask = || Turn::new(&relays).next().unwrap();
        let failed = |_, _| std::future::ready(Err(io::Error::other("no such name")));
        assert!(dial(ask(), failed).await.unwrap_err().to_string().contains("no such name"));
        let empty = |_, _| std::future::ready(Ok(Vec::new()));
        let error = dial(ask(), empty).await.unwrap_err().to_string();
        assert!(error.contains("nowhere.example has no address"), "{error}");
    }
}
