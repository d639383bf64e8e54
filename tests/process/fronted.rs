//! Relays behind the load balancers of `deploy/`, which are run as they are there but for names
//! and ports.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use logrelay::client::{Event, Options, Start, Subscription, list_topics};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::{
    make::made,
    numbered::{Expected, line},
    process::{PATIENCE, Process},
    relay::Relay,
    suite::support::{TestRedis, eventually, free_port, relay::serves, writer::Writer},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const LINES: u64 = 50;

/// A load balancer with two relays behind it.
struct Fronted {
    redis: TestRedis,
    listen: [String; 2],
    relays: Vec<Relay>,
    url: String,
    front: Process,
    _folder: TempDir,
}

impl Fronted {
    /// Runs the command that `front` makes of a folder and the configuration in it, where the
    /// relays and the port have their places.
    async fn start(config: &str, front: impl FnOnce(&Path, &Path) -> Command) -> Self {
        let redis = TestRedis::start().await;
        let ports = [free_port(), free_port()];
        let listen = ports.map(|port| format!("--listen 127.0.0.1:{port} --drain-notice-ms 3000"));
        let relays = vec![Relay::with(&redis, &listen[0]).await, Relay::with(&redis, &listen[1]).await];
        for relay in &relays {
            eventually("it serves", async || serves(&relay.url).await).await;
        }
        let port = free_port();
        let mut text = fs::read_to_string(Path::new(ROOT).join(config)).unwrap();
        for (name, at) in ["relay-1", "relay-2"].into_iter().zip(ports) {
            for (sign, there) in
                [(":", format!("127.0.0.1:{at}")), (", port_value: ", format!("127.0.0.1, port_value: {at}"))]
            {
                text = text.replace(&format!("{name}{sign}7171"), &there);
            }
        }
        assert!(!text.contains("7171"), "{text}");
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("front");
        fs::write(&path, text.replace("7170", &port.to_string())).unwrap();
        let front = Process::spawn(config, front(folder.path(), &path));
        let url = format!("http://127.0.0.1:{port}");
        eventually("calls go through", async || list_topics(&[url.parse().unwrap()], 1000).await.is_ok())
            .await;
        Self { redis, listen, relays, url, front, _folder: folder }
    }

    /// The relay that has the only reader.
    async fn read_from(&self) -> usize {
        let mut found = Vec::new();
        // One that was cut off may still be counted at another relay.
        eventually("one relay alone serves the reader", async || {
            found.clear();
            for (at, relay) in self.relays.iter().enumerate() {
                let subscriptions = relay.metric("logrelay_serve_subscriptions").await;
                found.extend((0..subscriptions).map(|_| at));
            }
            found.len() == 1
        })
        .await;
        found[0]
    }

    /// A reader gets every line once while its relay is killed, and another one stops.
    async fn carries_a_reader_over_relays_that_go(mut self) {
        let mut writer = Writer::new(&self.redis, "app").await;
        let options = Options {
            relays: vec![self.url.parse().unwrap()],
            topics: vec!["app".parse().unwrap()],
            start: Start::Earliest,
            ..Options::default()
        };
        let mut subscription = Subscription::new(options).unwrap();
        let (mut expected, mut closings) = (Expected::default(), 0);
        for round in 1..=3 {
            for number in expected.next()..round * LINES {
                writer.append(&[line(number)]).await;
            }
            while expected.next() < round * LINES {
                let event = timeout(PATIENCE, subscription.next()).await.expect("no line comes any more");
                match event.unwrap().unwrap() {
                    Event::Lines(lines) => lines.iter().for_each(|line| expected.take(line.content)),
                    Event::Closing { .. } => closings += 1,
                    _ => {}
                }
            }
            let at = self.read_from().await;
            if round == 1 {
                self.relays[at].process.kill().await;
                self.relays[at] = Relay::with(&self.redis, &self.listen[at]).await;
                let url = self.relays[at].url.clone();
                eventually("it serves again", async || serves(&url).await).await;
            } else if round == 2 {
                let going = self.relays.remove(at);
                going.process.signal(Signal::TERM);
                while closings == 0 {
                    let event = timeout(PATIENCE, subscription.next()).await.expect("it is not told");
                    closings += usize::from(matches!(event.unwrap().unwrap(), Event::Closing { .. }));
                }
                assert_eq!(going.process.ended().await.code, Some(0));
            }
        }
        self.front.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_carries_a_reader_over_relays_that_go() {
    let found = env::var_os("PATH").and_then(|path| {
        let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        folders.map(|folder| folder.join("nginx")).find(|path| path.is_file())
    });
    let Some(nginx) = found else {
        eprintln!("there is no nginx here: skipped");
        return;
    };
    let command = |folder: &Path, site: &Path| {
        let whole = format!(
            "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\nclient_body_temp_path {0}/body;\nproxy_temp_path {0}/proxy;\n\
             fastcgi_temp_path {0}/fastcgi;\nuwsgi_temp_path {0}/uwsgi;\nscgi_temp_path {0}/scgi;\n\
             include {1};\n}}\n",
            folder.display(),
            site.display()
        );
        let config = folder.join("nginx.conf");
        fs::write(&config, whole).unwrap();
        let mut command = Command::new(&nginx);
        command.arg("-p").arg(folder).arg("-c").arg(config).args(["-e", "stderr"]);
        command
    };
    let fronted = Fronted::start("deploy/nginx/logrelay.conf", command).await;
    fronted.carries_a_reader_over_relays_that_go().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_carries_a_reader_over_relays_that_go() {
    let Some(envoy) = envoy() else {
        eprintln!("there is no Envoy for this system: skipped");
        return;
    };
    let command = |_: &Path, config: &Path| {
        let mut command = Command::new(envoy);
        command.args(["--use-dynamic-base-id", "--disable-hot-restart", "--concurrency", "1"]);
        command.args(["--log-level", "warn", "-c"]).arg(config.with_extension("yaml"));
        fs::rename(config, config.with_extension("yaml")).unwrap();
        command
    };
    let fronted = Fronted::start("deploy/envoy/logrelay.yaml", command).await;
    fronted.carries_a_reader_over_relays_that_go().await;
}

/// The Envoy that `make test` installs, where there is one for this system.
fn envoy() -> Option<PathBuf> {
    made("envoy");
    let modules = Path::new(ROOT).join("target/tools/envoy/lib");
    let versions = fs::read_dir(modules).ok()?.filter_map(Result::ok);
    let mut found = versions.map(|version| version.path().join("site-packages/envoy/_bin/envoy"));
    found.find(|path| path.is_file())
}
