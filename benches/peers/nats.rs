//! NATS with `JetStream`, as far as a peer needs it: a server of our own, a stream in memory,
//! ordered consumers, and a publisher. Written to the protocol of clients, so that readers
//! look at lines and nothing else.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

const STREAM: &str = "LINES";
const SUBJECT: &str = "lines";
const BUFFER_BYTES: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A running server; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts a server with an empty stream; none where it is not installed.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        fs::create_dir_all(folder)?;
        let said = folder.join("said");
        let mut command = Command::new("nats-server");
        command.args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"]).arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?).kill_on_drop(true);
        let Ok(child) = command.spawn() else { return Ok(None) };
        let deadline = Instant::now() + PATIENCE;
        let address = loop {
            let text = fs::read_to_string(&said)?;
            let (_, rest) = text.split_once("client connections on ").unwrap_or_default();
            if let Some((address, _)) = rest.split_once('\n').filter(|_| text.contains("Server is ready")) {
                break address.trim().to_owned();
            }
            ensure!(Instant::now() < deadline, "nats-server does not listen: {text}");
            sleep(POLL).await;
        };
        let server = Self { child, address };
        let stream = format!(r#"{{"name":"{STREAM}","subjects":["{SUBJECT}"],"storage":"memory"}}"#);
        let mut client = server.connect().await?;
        client.ask(&format!("$JS.API.STREAM.CREATE.{STREAM}"), &stream).await?;
        Ok(Some(server))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended")
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// A client that has been greeted.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let mut client = Client { stream, came: Vec::with_capacity(BUFFER_BYTES), taken: 0 };
        client.say("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nPING\r\n").await?;
        while !matches!(client.next().await?, Sent::Pong) {}
        Ok(client)
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    came: Vec<u8>,
    /// How many bytes of `came` are done with.
    taken: usize,
}

/// What a server says.
pub(crate) enum Sent {
    /// A line of the stream, or an answer.
    Message(Vec<u8>),
    Pong,
    /// What was dealt with already.
    Other,
}

impl Client {
    /// Reads all lines that come from now on, in their order: an ordered consumer, as the
    /// client libraries make it.
    pub(crate) async fn consume(&mut self) -> anyhow::Result<()> {
        let inbox = format!("_INBOX.{:016x}", fastrand::u64(..));
        self.say(&format!("SUB {inbox} 2\r\n")).await?;
        let consumer = format!(
            r#"{{"stream_name":"{STREAM}","config":{{"deliver_subject":"{inbox}","deliver_policy":"new",
            "ack_policy":"none","max_deliver":1,"flow_control":true,"idle_heartbeat":5000000000,
            "mem_storage":true,"num_replicas":1}}}}"#
        );
        self.ask(&format!("$JS.API.CONSUMER.CREATE.{STREAM}"), &consumer).await
    }

    /// Publishes lines, a message each.
    pub(crate) async fn publish(&mut self, lines: &[Vec<u8>]) -> anyhow::Result<()> {
        let mut said = Vec::new();
        for line in lines {
            said.extend_from_slice(format!("PUB {SUBJECT} {}\r\n", line.len()).as_bytes());
            said.extend_from_slice(line);
            said.extend_from_slice(b"\r\n");
        }
        Ok(self.stream.write_all(&said).await?)
    }

    /// The next line.
    pub(crate) async fn line(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Sent::Message(line) = self.next().await? {
                return Ok(line);
            }
        }
    }

    async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.stream.write_all(text.as_bytes()).await?)
    }

    /// Asks `JetStream` for something, which has to work.
    async fn ask(&mut self, subject: &str, json: &str) -> anyhow::Result<()> {
        let inbox = format!("_INBOX.{:016x}", fastrand::u64(..));
        self.say(&format!("SUB {inbox} 1\r\nPUB {subject} {inbox} {}\r\n{json}\r\n", json.len())).await?;
        let answer = String::from_utf8(self.line().await?)?;
        ensure!(!answer.contains("\"error\""), "{subject}: {answer}");
        Ok(())
    }

    /// Takes the next thing that is said; answers where an answer is due.
    async fn next(&mut self) -> anyhow::Result<Sent> {
        let line = self.head().await?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["MSG", _, _, .., len] => Ok(Sent::Message(self.payload(len.parse()?).await?)),
            ["HMSG", _, _, .., head_len, len] => {
                let payload = self.payload(len.parse()?).await?;
                let head = String::from_utf8_lossy(&payload[..head_len.parse()?]).into_owned();
                if !head.starts_with("NATS/1.0 100") {
                    return Ok(Sent::Message(payload[head.len()..].to_vec()));
                }
                // Flow control, or a heartbeat that says that an answer to it is missing.
                let stalled = head.lines().find_map(|line| line.strip_prefix("Nats-Consumer-Stalled:"));
                let reply = if words.len() == 6 { Some(words[3]) } else { stalled.map(str::trim) };
                if let Some(reply) = reply {
                    self.say(&format!("PUB {reply} 0\r\n\r\n")).await?;
                }
                Ok(Sent::Other)
            }
            ["PING"] => {
                self.say("PONG\r\n").await?;
                Ok(Sent::Other)
            }
            ["PONG"] => Ok(Sent::Pong),
            ["INFO", ..] | ["+OK"] => Ok(Sent::Other),
            _ => bail!("nats-server says {line:?}"),
        }
    }

    async fn head(&mut self) -> anyhow::Result<String> {
        let mut seen = self.taken;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.came[seen..]) {
                let line = self.came[self.taken..seen + at].to_vec();
                self.taken = seen + at + 1;
                return Ok(String::from_utf8(line)?);
            }
            seen = self.came.len() - self.taken;
            self.read().await?;
        }
    }

    /// The bytes of a message, without the line ending behind them.
    async fn payload(&mut self, len: usize) -> anyhow::Result<Vec<u8>> {
        while self.came.len() - self.taken < len + 2 {
            self.read().await?;
        }
        let payload = self.came[self.taken..self.taken + len].to_vec();
        self.taken += len + 2;
        Ok(payload)
    }

    /// Reads more, behind what is not taken yet.
    async fn read(&mut self) -> anyhow::Result<()> {
        self.came.drain(..self.taken);
        self.taken = 0;
        ensure!(self.stream.read_buf(&mut self.came).await? > 0, "nats-server has hung up");
        Ok(())
    }
}
