//! What about the server's settings puts lines at risk.

use super::{Error, Store};

/// The oldest server that the scripts work on.
const OLDEST: (u64, u64) = (7, 0);

impl Store {
    /// What an operator should change on the server, a sentence each; empty where all
    /// is well. Needs no right but that to `INFO`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn advice(&self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for pool in self.servers.every().await? {
            let info: String = pool.get().await?.query(&redis::cmd("INFO")).await?;
            let advice = advice(&info).into_iter();
            // Which of them, where there are several.
            let named =
                advice.map(|text| if self.is_cluster() { format!("{}: {text}", pool.at()) } else { text });
            all.extend(named);
        }
        Ok(all)
    }
}

fn advice(info: &str) -> Vec<String> {
    let value = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
    };
    let mut advice = Vec::new();
    let version = value("redis_version");
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
        let (major, minor) = OLDEST;
        advice.push(format!("redis {version} is too old: logrelay needs {major}.{minor} or newer"));
    }
    let policy = value("maxmemory_policy");
    if !matches!(policy, "noeviction" | "") {
        advice.push(format!("redis may evict lines: maxmemory-policy is {policy}, and should be noeviction"));
    }
    let replicas = value("connected_slaves");
    let promised = value("min_slaves_good_slaves");
    if !matches!(replicas, "0" | "") && promised.is_empty() {
        advice.push(format!(
            "redis has {replicas} replicas, and may acknowledge lines that none of them has: \
             set min-replicas-to-write to 1"
        ));
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_set_up_well_gets_no_advice() {
        let info = "redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\nconnected_slaves:0\r\n";
        assert_eq!(advice(info), [""; 0]);
        let info = "redis_version:8.1.0\r\nconnected_slaves:1\r\nmin_slaves_good_slaves:1\r\n";
        assert_eq!(advice(info), [""; 0]);
    }

    #[test]
    fn what_puts_lines_at_risk_is_named_with_what_would_be_right() {
        let info = "redis_version:6.2.1\r\nmaxmemory_policy:allkeys-lru\r\nconnected_slaves:2\r\n";
        let advice = advice(info).join("\n");
        for word in ["6.2.1", "7.0", "allkeys-lru", "noeviction", "2 replicas", "min-replicas-to-write"] {
            assert!(advice.contains(word), "{word}: {advice}");
        }
    }
}
