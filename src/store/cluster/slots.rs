//! Which slot a key is in, and who holds which slots as a node says it. No I/O.

use redis::Value;

use crate::store::url::Endpoint;

/// How many slots every cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// CRC-16/XMODEM of every byte, as the cluster specification has it.
const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    let mut high = 0_u16;
    while byte < 256 {
        let mut crc = high;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        high = high.wrapping_add(0x100);
        byte += 1;
    }
    table
};

/// The slot of a key: that of what stands between its first braces, where that is anything.
pub(super) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        u16::from_be_bytes([low, 0]) ^ CRC16[usize::from(high ^ byte)]
    });
    crc % SLOTS
}

/// Slots one after the other that a master holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) master: Endpoint,
    pub(super) replicas: Vec<Endpoint>,
}

/// The answer to CLUSTER SLOTS; none where it is none. A node that does not know how it is
/// called is known by the host that was asked.
pub(super) fn read(answer: Value, asked: &str) -> Option<Vec<Held>> {
    list(answer)?.into_iter().map(|range| held(range, asked)).collect()
}

fn held(range: Value, asked: &str) -> Option<Held> {
    let mut parts = list(range)?.into_iter();
    let (first, last) = (number(&parts.next()?)?, number(&parts.next()?)?);
    let mut nodes = parts.map(|node| endpoint(node, asked));
    let master = nodes.next()??;
    let held = Held { first, last, master, replicas: nodes.flatten().collect() };
    (held.first <= held.last && held.last < SLOTS).then_some(held)
}

fn endpoint(node: Value, asked: &str) -> Option<Endpoint> {
    let mut parts = list(node)?.into_iter();
    let host = match parts.next()? {
        Value::BulkString(host) => String::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => String::new(),
        _ => return None,
    };
    Some(beside(asked, &host, number(&parts.next()?)?))
}

/// The node at a host as the node at `asked` calls it, which may not know its name.
pub(super) fn beside(asked: &str, host: &str, port: u16) -> Endpoint {
    let host = if matches!(host, "" | "?") { asked } else { host };
    Endpoint::Tcp { host: host.to_owned(), port }
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        // 0x31C3 is the check value of the specification for "123456789".
        assert_eq!(slot_of("123456789"), 0x31C3 % SLOTS);
        for (key, slot) in [("", 0), ("foo", 12_182), ("bar", 5061), ("hello", 866)] {
            assert_eq!(slot_of(key), slot, "{key}");
        }
    }

    #[test]
    fn keys_with_one_tag_share_a_slot_and_an_empty_tag_is_none() {
        assert_eq!(slot_of("logrelay:{web}:lines"), slot_of("web"));
        assert_eq!(slot_of("logrelay:{web}:state"), slot_of("web"));
        assert_eq!(slot_of("{foo}{bar}"), slot_of("foo"));
        assert_eq!(slot_of("foo{{bar}}zap"), slot_of("{bar"));
        assert_ne!(slot_of("foo{}{bar}"), slot_of("bar"));
        assert_ne!(slot_of("foo{bar"), slot_of("bar"));
    }

    #[test]
    fn an_answer_is_read_with_its_replicas_and_hosts_that_are_not_known() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port: i64| {
            Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(vec![])])
        };
        let range =
            vec![Value::Int(0), Value::Int(5460), node(Value::Nil, 7001), node(text("10.0.0.2"), 7002)];
        let found = read(Value::Array(vec![Value::Array(range)]), "h").unwrap();
        let replicas = vec![tcp("10.0.0.2", 7002)];
        assert_eq!(found, [Held { first: 0, last: 5460, master: tcp("h", 7001), replicas }]);
        let backwards = Value::Array(vec![Value::Int(9), Value::Int(8), node(text("h"), 1)]);
        for nonsense in [Value::Nil, Value::Array(vec![Value::Int(1)]), Value::Array(vec![backwards])] {
            assert_eq!(read(nonsense, "h"), None);
        }
    }
}
