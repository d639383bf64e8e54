//! Every setting: its name, its type, what it means, and where it goes.
//!
//! A setting is a key of the file, a flag and an environment variable at once, and
//! what stands here is what `--help` prints. Its default is that of the part that
//! it configures and is not repeated.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use toml::de::DeValue;

use super::{
    Effective,
    value::{RedisText, Value, Wrong, within},
};
use crate::{
    record::Host,
    serve::ClientCertificates,
    store::Durability,
    tail::StartAt,
    telemetry::{LogFormat, LogLevel},
};

/// Declares the settings of one section. Each line is `name: Type = "PLACEHOLDER"`, where its values
/// are bounded `in bounds`, and, where it is a field of [`Effective`], `=> path.to.the.field`.
macro_rules! settings {
    ($(#[$about:meta])* $name:ident {
        $($(#[$doc:meta])* $key:ident: $type:ty = $placeholder:literal
            $(in $bounds:expr)? $(=> $($place:ident).+)?,)*
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, clap::Args)]
        pub struct $name {
            $(
                $(#[$doc])*
                #[arg(long, value_name = $placeholder, value_parser = |text: &str| {
                    <<$type as Value>::One as Value>::read(text)$(.and_then(|value| within(value, $bounds)))?
                })]
                pub $key: Option<$type>,
            )*
        }

        impl $name {
            /// The names of its settings.
            pub const KEYS: &[&str] = &[$(stringify!($key)),*];

            /// Sets one of them to a value of the file; none where there is no such name.
            pub(super) fn set(&mut self, key: &str, value: &DeValue<'_>) -> Option<Result<(), Wrong>> {
                match key {
                    $(stringify!($key) => {
                        let value = <$type>::from_toml(value)$(.and_then(|value| within(value, $bounds)))?;
                        Some(value.map(|value| self.$key = Some(value)))
                    })*
                    _ => None,
                }
            }

            /// These settings, and where one is not set, that of `lower`.
            #[must_use]
            pub fn or(self, lower: Self) -> Self {
                Self { $($key: self.$key.or(lower.$key)),* }
            }

            /// Puts what is set in its place.
            pub(super) fn apply(&self, effective: &mut Effective) {
                $($(if let Some(value) = &self.$key {
                    effective.$($place).+ = value.clone().into();
                })?)*
            }

            /// What is in their places now, by name.
            pub(super) fn shown(effective: &Effective) -> Vec<(&'static str, String)> {
                vec![$($((stringify!($key), effective.$($place).+.shown()),)?)*]
            }
        }
    };
}

const MIB: usize = 1024 * 1024;
const HOUR_MS: u64 = 3_600_000;

settings! {
    /// What every command takes; top level of the file.
    General {
        /// How much to log: error, warn, info, debug, trace, off, or a list of target=level [default: info]
        #[arg(global = true, help_heading = "Logs")]
        log_level: LogLevel = "LEVEL" => log_level,
        /// What logs look like [default: text; json where the output is JSON]
        #[arg(global = true, help_heading = "Logs")]
        log_format: LogFormat = "FORMAT" => log_format,
        /// How long a stop may take after the first SIGTERM or SIGINT, in milliseconds [default: 10000]
        #[arg(global = true)]
        shutdown_timeout_ms: u64 = "MS" in 100..=HOUR_MS => shutdown_timeout_ms,
    }
}

settings! {
    /// Where Redis is and how to reach it; top level of the file.
    Redis {
        /// Where Redis is: `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]`, `redis+unix:///PATH`,
        /// `redis+sentinel://HOST,HOST/MASTER`, or `redis+cluster://HOST,HOST`; over TLS `rediss://…`,
        /// `rediss+sentinel://…`, `rediss+cluster://…` [default: `redis://127.0.0.1:6379`]
        #[arg(help_heading = "Redis")]
        redis: RedisText = "URL",
        /// File whose first line is the password for Redis
        #[arg(help_heading = "Redis")]
        redis_password_file: PathBuf = "FILE",
        /// CAs (PEM) that sign the certificate of Redis, for `rediss://` [default: those of the system]
        #[arg(help_heading = "Redis")]
        redis_ca_file: PathBuf = "FILE" => redis.connect.tls.ca,
        /// Certificate (PEM) that is shown to Redis
        #[arg(help_heading = "Redis")]
        redis_cert_file: PathBuf = "FILE" => redis.connect.tls.cert,
        /// Key (PEM) of that certificate
        #[arg(help_heading = "Redis")]
        redis_key_file: PathBuf = "FILE" => redis.connect.tls.key,
        /// What every key in Redis begins with
        #[arg(help_heading = "Redis")]
        prefix: String = "TEXT" => redis.prefix,
        /// How safe lines have to be before they count as confirmed: memory, replicas=N (so many replicas
        /// have them, too) or fsync (they are on disk; Redis 7.2 and Valkey)
        #[arg(help_heading = "Redis")]
        durability: Durability = "HOW" => redis.durability,
        /// Most connections for short commands
        #[arg(help_heading = "Redis")]
        redis_pool_size: u32 = "CONNECTIONS" in 1..=1_024 => redis.connect.pool_size,
        /// Longest time to open a connection to Redis, or to wait for a free one, in milliseconds
        #[arg(help_heading = "Redis")]
        redis_connect_timeout_ms: u64 = "MS" in 1..=HOUR_MS => redis.connect.connect_timeout_ms,
        /// Longest time to wait for an answer of Redis, in milliseconds
        #[arg(help_heading = "Redis")]
        redis_response_timeout_ms: u64 = "MS" in 1..=HOUR_MS => redis.connect.response_timeout_ms,
        /// A connection that was silent for this long is tested by PING (earlier where the server's
        /// own timeout is short), in milliseconds
        #[arg(help_heading = "Redis")]
        redis_keepalive_ms: u64 = "MS" in 10..=HOUR_MS => redis.connect.keepalive_ms,
    }
}

settings! {
    /// The tailer; section `[tail]` of the file.
    Tail {
        /// Name of this host, under which its sources are known; has to stay the same [default: the host name]
        #[arg(help_heading = "Tailer")]
        host: Host = "NAME" => tail.host,
        /// Where a file begins whose path was never seen on this host: beginning or end [default: beginning]
        #[arg(help_heading = "Tailer")]
        start: StartAt = "WHERE" => tail.start,
        /// How often files are looked at whose changes the system does not report, in milliseconds
        #[arg(help_heading = "Tailer")]
        poll_interval_ms: u64 = "MS" in 10..=HOUR_MS => tail.poll_interval_ms,
        /// Let the system report changes of files, where it can; else all are looked at every poll interval
        #[arg(help_heading = "Tailer", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        watch_files: bool = "BOOL" => tail.watch_files,
        /// Longest line in bytes; the rest is cut off and counted
        #[arg(help_heading = "Tailer")]
        max_line_bytes: usize = "BYTES" in 1..=3 * MIB => tail.max_line_bytes,
        /// Most files that are open at once
        #[arg(help_heading = "Tailer")]
        max_open_files: usize = "FILES" in 1..=1_000_000 => tail.max_open_files,
        /// How long a file that is gone stays open after its last line was confirmed, in milliseconds
        #[arg(help_heading = "Tailer")]
        linger_ms: u64 = "MS" in 0..=24 * HOUR_MS => tail.linger_ms,
        /// After how long without a change a file costs no task of its own any more, in milliseconds
        #[arg(help_heading = "Tailer")]
        rest_after_ms: u64 = "MS" in 10..=HOUR_MS => tail.rest_after_ms,
        /// Greatest size of a batch in bytes; a single line may exceed it
        #[arg(help_heading = "Tailer")]
        append_batch_bytes: usize = "BYTES" in 1..=MIB / 2 => publish.max_batch_bytes,
        /// Greatest number of lines in a batch
        #[arg(help_heading = "Tailer")]
        append_batch_lines: u32 = "LINES" in 1..=65_536 => publish.max_batch_lines,
        /// Batches of at least so many bytes are packed (zstd); a large number packs none
        #[arg(help_heading = "Tailer")]
        compress_min_bytes: usize = "BYTES" in 1..=1_024 * MIB => publish.compress_min_bytes,
        /// What may be read and not yet confirmed by Redis, all files together, in bytes
        #[arg(help_heading = "Tailer")]
        buffer_bytes: u32 = "BYTES" in 65_536..=2_147_483_648 => publish.budget_bytes,
        /// How often what Redis knows of the files is compared, in milliseconds
        #[arg(help_heading = "Tailer")]
        audit_interval_ms: u64 = "MS" in 10..=HOUR_MS => publish.audit_interval_ms,
        /// Longest delay between two tries while Redis is away, in milliseconds
        #[arg(help_heading = "Tailer")]
        retry_max_ms: u64 = "MS" in 10..=HOUR_MS => publish.retry_cap_ms,
        /// Most lines a second of all files together; over it the tailer waits and drops nothing
        #[arg(help_heading = "Tailer")]
        lines_per_second: NonZeroU32 = "LINES" => tail.limits.lines_per_second,
        /// Most bytes of lines a second of all files together; over it the tailer waits and drops nothing
        #[arg(help_heading = "Tailer")]
        bytes_per_second: NonZeroU32 = "BYTES" => tail.limits.bytes_per_second,
        /// Follow the inputs that were pushed to Redis for this host and its groups, too [default: false]
        #[arg(help_heading = "Tailer", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        inputs_from_redis: bool = "BOOL" => inputs_from_redis,
        /// Group of this host, whose inputs in Redis it follows; repeatable, or several with commas
        #[arg(help_heading = "Tailer", value_delimiter = ',')]
        group: Vec<Host> = "NAME" => groups,
        /// Address on which to serve /metrics [default: none]
        #[arg(help_heading = "Tailer")]
        metrics_listen: SocketAddr = "ADDRESS" => metrics_listen,
    }
}

settings! {
    /// The relay; section `[serve]` of the file.
    Serve {
        /// Address on which the relay listens; port 0 takes a free one [default: 127.0.0.1:7171]
        #[arg(help_heading = "Relay")]
        listen: SocketAddr = "ADDRESS" => serve.listen,
        /// Certificate of the relay and those between it and its authority (PEM); with it, only TLS is spoken [default: none]
        #[arg(help_heading = "Relay")]
        tls_certificate: PathBuf = "FILE" => serve.tls.certificate,
        /// Private key of the certificate (PEM) [default: none]
        #[arg(help_heading = "Relay")]
        tls_key: PathBuf = "FILE" => serve.tls.key,
        /// Authorities by which certificates of clients are believed (PEM) [default: none]
        #[arg(help_heading = "Relay")]
        tls_client_ca: PathBuf = "FILE" => serve.tls.client_ca,
        /// Whether a client may come without a certificate: required or optional [default: required]
        #[arg(help_heading = "Relay")]
        tls_client_certificates: ClientCertificates = "WHETHER" => serve.tls.client_certificates,
        /// Longest time for a handshake of TLS, in milliseconds
        #[arg(help_heading = "Relay")]
        tls_handshake_timeout_ms: u64 = "MS" in 10..=HOUR_MS => serve.tls.handshake_timeout_ms,
        /// Who may read, publish to and administer which topics: tokens, certificates, keys for JWT (TOML) [default: none]
        #[arg(help_heading = "Relay")]
        access_file: PathBuf = "FILE" => serve.access.file,
        /// Everybody who can reach the port may read, write and delete everything
        #[arg(help_heading = "Relay", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        insecure_public: bool = "BOOL" => serve.access.insecure_public,
        /// How often certificates and the access file are looked at for changes, in milliseconds
        #[arg(help_heading = "Relay")]
        reload_interval_ms: u64 = "MS" in 10..=HOUR_MS => serve.access.reload_interval_ms,
        /// Most connections; more are refused
        #[arg(help_heading = "Relay")]
        max_connections: usize = "CONNECTIONS" in 1..=1_000_000 => serve.max_connections,
        /// Most connections from one address (IPv6: a /64 network). 0: no bound
        #[arg(help_heading = "Relay")]
        max_connections_per_peer: usize = "CONNECTIONS" in 0..=1_000_000 => serve.max_connections_per_peer,
        /// Most subscriptions; more are refused
        #[arg(help_heading = "Relay")]
        max_subscriptions: usize = "SUBSCRIPTIONS" in 1..=1_000_000 => serve.max_subscriptions,
        /// Most streams, subscriptions and publishers, over one connection
        #[arg(help_heading = "Relay")]
        max_streams_per_connection: usize = "STREAMS" in 1..=100_000 => serve.max_streams_per_connection,
        /// Most subscriptions of one caller, by its name. 0: no bound
        #[arg(help_heading = "Relay")]
        max_subscriptions_per_identity: usize = "SUBSCRIPTIONS" in 0..=1_000_000 => serve.max_subscriptions_per_identity,
        /// Most topics of one subscription
        // More might not fit into one message, of which clients take 4 MiB.
        #[arg(help_heading = "Relay")]
        max_topics: usize = "TOPICS" in 1..=8_000 => serve.max_topics,
        /// Most lines of one batch, where a caller says nothing
        #[arg(help_heading = "Relay")]
        batch_lines: u32 = "LINES" in 1..=1_000_000 => serve.batch_lines,
        /// Most lines of one batch that a caller may ask for
        #[arg(help_heading = "Relay")]
        max_batch_lines: u32 = "LINES" in 1..=1_000_000 => serve.max_batch_lines,
        /// Greatest size of one batch where a caller says nothing, in bytes
        #[arg(help_heading = "Relay")]
        batch_bytes: u32 = "BYTES" in 1..=4_194_304 => serve.batch_bytes,
        /// Greatest size of one batch that a caller may ask for, in bytes
        #[arg(help_heading = "Relay")]
        max_batch_bytes: u32 = "BYTES" in 1..=4_194_304 => serve.max_batch_bytes,
        /// Greatest size of one message of a caller, in bytes
        #[arg(help_heading = "Relay")]
        max_request_bytes: usize = "BYTES" in 4_096..=64 * MIB => serve.max_request_bytes,
        /// Greatest size of the headers of a call, in bytes
        #[arg(help_heading = "Relay")]
        max_header_bytes: u32 = "BYTES" in 4_096..=1_048_576 => serve.max_header_bytes,
        /// How long a caller may take for what a connection begins with, in milliseconds
        #[arg(help_heading = "Relay")]
        header_timeout_ms: u64 = "MS" in 10..=HOUR_MS => serve.header_timeout_ms,
        /// How long the first message of a call may take to come, in milliseconds
        #[arg(help_heading = "Relay")]
        request_timeout_ms: u64 = "MS" in 10..=HOUR_MS => serve.request_timeout_ms,
        /// Most HTTP/2 frames a second over one connection that carry nothing (pings, settings, resets)
        #[arg(help_heading = "Relay")]
        max_control_frames_per_second: u32 = "FRAMES" in 10..=1_000_000 => serve.max_control_frames_per_second,
        /// Greatest age of a connection, a tenth more or less, in milliseconds; its readers go on elsewhere. 0: no bound
        #[arg(help_heading = "Relay")]
        max_connection_age_ms: u64 = "MS" in 0..=30 * 24 * HOUR_MS => serve.max_connection_age_ms,
        /// How long the calls of a connection of that age may take to end, in milliseconds
        #[arg(help_heading = "Relay")]
        connection_grace_ms: u64 = "MS" in 10..=HOUR_MS => serve.connection_grace_ms,
        /// How long a connection may be silent before it is asked whether it lives, in milliseconds
        #[arg(help_heading = "Relay")]
        keepalive_ms: u64 = "MS" in 100..=HOUR_MS => serve.keepalive_ms,
        /// How long a caller that wants one answer waits for Redis, in milliseconds
        #[arg(help_heading = "Relay")]
        redis_wait_ms: u64 = "MS" in 1..=HOUR_MS => serve.redis_wait_ms,
        /// How often health asks Redis, and how long it waits for the answer, in milliseconds
        #[arg(help_heading = "Relay")]
        probe_ms: u64 = "MS" in 10..=HOUR_MS => serve.probe_ms,
        /// How long a relay that is told to stop still serves while health says that it does not, in
        /// milliseconds: until load balancers have seen it
        #[arg(help_heading = "Relay")]
        drain_notice_ms: u64 = "MS" in 0..=HOUR_MS => serve.drain_notice_ms,
        /// Greatest age of a line, in milliseconds; older ones are trimmed. 0: no bound
        #[arg(help_heading = "Relay")]
        retention_age_ms: u64 = "MS" => serve.retention.max_age_ms,
        /// Greatest stored size of a topic, in bytes; what is older is trimmed. 0: no bound
        #[arg(help_heading = "Relay")]
        retention_bytes: u64 = "BYTES" => serve.retention.max_bytes,
        /// Greatest stored size of all topics together, in bytes; the largest topics give way. 0: no bound
        #[arg(help_heading = "Relay")]
        retention_total_bytes: u64 = "BYTES" => serve.retention.total_bytes,
        /// How often topics are looked at for what is too old or too much, in milliseconds
        #[arg(help_heading = "Relay")]
        retention_interval_ms: u64 = "MS" in 10..=HOUR_MS => serve.retention.interval_ms,
        /// Most durable subscriptions of one topic; more are refused
        #[arg(help_heading = "Relay")]
        max_durable_subscriptions: u32 = "SUBSCRIPTIONS" in 1..=10_000 => serve.durable.max_per_topic,
        /// How long a durable subscription is kept that nobody uses, in milliseconds
        #[arg(help_heading = "Relay")]
        durable_expiry_ms: u64 = "MS" in 60_000..=10 * 365 * 24 * HOUR_MS => serve.durable.expiry_ms,
        /// Most streams of programs that publish; more are refused
        #[arg(help_heading = "Relay")]
        max_publishers: usize = "STREAMS" in 1..=1_000_000 => serve.publish.max_publishers,
        /// Most producers of a topic, over all relays; more are refused
        #[arg(help_heading = "Relay")]
        max_producers: u32 = "PRODUCERS" in 1..=1_000_000 => serve.publish.max_producers,
        /// Longest line that may be published, in bytes; longer ones are refused
        #[arg(help_heading = "Relay")]
        publish_line_bytes: usize = "BYTES" in 1..=3 * MIB => serve.publish.max_line_bytes,
        /// What all programs together may have sent and Redis not yet confirmed, in bytes
        #[arg(help_heading = "Relay")]
        publish_buffer_bytes: u32 = "BYTES" in 65_536..=2_147_483_648 => serve.publish.buffer_bytes,
        /// Greatest size of a batch of published lines in bytes; a single line may exceed it
        #[arg(help_heading = "Relay")]
        publish_batch_bytes: usize = "BYTES" in 1..=MIB / 2 => serve.publish.batch_bytes,
        /// How long a producer's name is kept for a program of which nothing is heard, in milliseconds
        #[arg(help_heading = "Relay")]
        producer_lease_ms: u64 = "MS" in 100..=HOUR_MS => serve.publish.lease_ms,
        /// What is kept of a topic for readers at its tail, in bytes
        #[arg(help_heading = "Relay")]
        window_bytes: usize = "BYTES" in 4_096..=1_024 * MIB => hub.window_bytes,
        /// What is kept of all topics together, in bytes
        #[arg(help_heading = "Relay")]
        windows_bytes: usize = "BYTES" in 4_096..=64 * 1_024 * MIB => hub.windows_bytes,
        /// How much a reader that is behind reads of Redis at once, in bytes
        #[arg(help_heading = "Relay")]
        page_bytes: usize = "BYTES" in 4_096..=64 * MIB => hub.page_bytes,
        /// What all readers that are behind may have read at once, in bytes
        #[arg(help_heading = "Relay")]
        pages_bytes: usize = "BYTES" in 4_096..=64 * 1_024 * MIB => hub.pages_bytes,
        /// What pages and messages that were not taken yet may hold at once, in bytes; what is more is
        /// sent in small pieces
        #[arg(help_heading = "Relay")]
        held_bytes: usize = "BYTES" in 4_096..=64 * 1_024 * MIB => hub.held_bytes,
        /// Longest time that a read waits in Redis for new lines, in milliseconds
        #[arg(help_heading = "Relay")]
        block_ms: u64 = "MS" in 10..=HOUR_MS => hub.block_ms,
        /// Most topics that one connection to Redis waits for
        #[arg(help_heading = "Relay")]
        topics_per_connection: usize = "TOPICS" in 1..=1_000 => hub.topics_per_connection,
        /// Most topics of one node of a cluster that are waited for by a connection each; those beyond
        /// are asked for some times a second, over one more
        #[arg(help_heading = "Relay")]
        blocked_reads_per_node: usize = "TOPICS" in 0..=10_000 => hub.blocked_reads_per_node,
        /// How long a topic without readers is still followed, in milliseconds
        #[arg(help_heading = "Relay")]
        idle_topic_ms: u64 = "MS" in 0..=24 * HOUR_MS => hub.idle_topic_ms,
        /// How long to look again when a reader is ahead of what Redis has, in milliseconds
        #[arg(help_heading = "Relay")]
        ahead_wait_ms: u64 = "MS" in 0..=HOUR_MS => hub.ahead_wait_ms,
    }
}
