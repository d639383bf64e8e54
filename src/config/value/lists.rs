//! Settings that are several values: lists and labels.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{Kind, Value, Wrong, quoted, unexpected};

impl<V: Value> Value for Vec<V> {
    type One = V;
    const KIND: Kind = Kind::List;

    fn read(text: &str) -> Result<Self, Wrong> {
        V::read(text).map(|one| vec![one])
    }

    fn shown(&self) -> String {
        if self.is_empty() {
            return "-".to_owned();
        }
        self.iter().map(V::shown).collect::<Vec<_>>().join(",")
    }

    fn written(&self) -> String {
        format!("[{}]", self.iter().map(V::written).collect::<Vec<_>>().join(", "))
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let DeValue::Array(array) = value else { return Err(unexpected(Self::KIND, value)) };
        let read = array.iter().map(|one| {
            let at = |wrong: Wrong| Wrong { element: Some(wrong.element.unwrap_or(one.span())), ..wrong };
            V::from_toml(one.get_ref()).map_err(at)
        });
        read.collect()
    }
}

/// One label of a flag: `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    name: String,
    value: String,
}

/// Labels by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(pub(in crate::config) BTreeMap<String, String>);

impl Label {
    /// Reads a label of a flag.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).map_err(|wrong| wrong.to_string())
    }

    /// Name and value.
    pub fn into_pair(self) -> (String, String) {
        (self.name, self.value)
    }
}

impl Value for Label {
    type One = Self;
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Wrong> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err("expected is name=value".to_owned().into()),
        }
    }

    fn shown(&self) -> String {
        format!("{}={}", self.name, self.value)
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        Self(labels.into_iter().map(|Label { name, value }| (name, value)).collect())
    }
}

impl Value for Labels {
    type One = Label;
    const KIND: Kind = Kind::Table;

    fn read(text: &str) -> Result<Self, Wrong> {
        Label::read(text).map(|label| [label].into_iter().collect())
    }

    fn shown(&self) -> String {
        self.written()
    }

    fn written(&self) -> String {
        let pairs: Vec<_> =
            self.0.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
        if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let DeValue::Table(table) = value else { return Err(unexpected(Self::KIND, value)) };
        let read = table.iter().map(|(name, value)| {
            let at = |wrong: Wrong| Wrong { element: Some(value.span()), ..wrong };
            if name.get_ref().is_empty() {
                return Err(at("a label needs a name".to_owned().into()));
            }
            let text = String::from_toml(value.get_ref()).map_err(at)?;
            Ok((name.get_ref().to_string(), text))
        });
        read.collect::<Result<_, _>>().map(Self)
    }
}
