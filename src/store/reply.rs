//! A stream entry as Redis returns it. Knows nothing of what the fields mean.

use redis::{FromRedisValue, ParsingError, Value};

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// Its ID, `<number>-<number>`.
    pub id: String,
    /// Its fields in their order, each with its value.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The entries of one key, as XREAD returns them.
pub type KeyEntries = (String, Vec<RawEntry>);

impl FromRedisValue for RawEntry {
    /// Moves the bytes; the library's own conversions would copy them, and put them
    /// into the message of an error.
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let [id, fields] = list(value)?.try_into().map_err(|_| unexpected())?;
        let id = String::from_utf8(bytes(id)?).map_err(|_| unexpected())?;
        let mut flat = list(fields)?.into_iter();
        let mut fields = Vec::with_capacity(flat.len() / 2);
        while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
            fields.push((bytes(name)?, bytes(value)?));
        }
        Ok(Self { id, fields })
    }
}

/// The answer to XREAD on a RESP3 connection; none when it timed out or was unblocked.
pub(super) fn from_xread(value: Value) -> Result<Vec<KeyEntries>, ParsingError> {
    let keys = match value {
        Value::Nil => return Ok(Vec::new()),
        Value::Map(keys) => keys,
        _ => return Err(unexpected()),
    };
    keys.into_iter()
        .map(|(key, entries)| {
            let key = String::from_utf8(bytes(key)?).map_err(|_| unexpected())?;
            let entries =
                list(entries)?.into_iter().map(RawEntry::from_redis_value).collect::<Result<_, _>>()?;
            Ok((key, entries))
        })
        .collect()
}

fn list(value: Value) -> Result<Vec<Value>, ParsingError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(unexpected()),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, ParsingError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> ParsingError {
    ParsingError::from("the answer has not the shape of stream entries")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn an_entry_keeps_the_order_of_its_fields_and_bytes_that_are_no_text() {
        let fields = Value::Array(vec![bulk("v"), bulk("1"), bulk("b"), Value::BulkString(vec![0xff, 0])]);
        let entry = RawEntry::from_redis_value(Value::Array(vec![bulk("7-0"), fields])).unwrap();
        assert_eq!(entry.id, "7-0");
        assert_eq!(entry.fields, [(b"v".to_vec(), b"1".to_vec()), (b"b".to_vec(), vec![0xff, 0])]);
    }

    #[test]
    fn what_is_no_entry_is_an_error_that_does_not_quote_it() {
        for value in [Value::Nil, bulk("secret"), Value::Array(vec![bulk("secret")]), Value::Int(1)] {
            let error = RawEntry::from_redis_value(value).unwrap_err();
            assert!(!error.to_string().contains("secret"));
        }
        assert!(from_xread(bulk("x")).is_err());
        assert_eq!(from_xread(Value::Nil), Ok(Vec::new()));
    }
}
