//! A door before a relay that cuts all connections when it is told to.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Passes bytes on; its connections are cut when it is dropped, too.
pub(crate) struct Door {
    pub(crate) url: String,
    cuts: Arc<watch::Sender<()>>,
    _serving: JoinSet<()>,
}

impl Door {
    pub(crate) async fn before(url: &str) -> Self {
        let to: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cuts = Arc::new(watch::Sender::new(()));
        let mut serving = JoinSet::new();
        let told = Arc::clone(&cuts);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut from, _) = listener.accept().await.unwrap();
                let mut cut = told.subscribe();
                connections.spawn(async move {
                    let Ok(mut to) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { url, cuts, _serving: serving }
    }

    /// Cuts all connections that there are.
    pub(crate) fn cut(&self) {
        self.cuts.send_replace(());
    }
}
