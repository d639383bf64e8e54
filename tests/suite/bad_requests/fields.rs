//! The fields of the contract's requests, as the relay's own descriptors have them: each gets bytes
//! of the wrong kind, and none may be without its rows.

use std::collections::{BTreeMap, BTreeSet};

use logrelay::proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, MessageOptions,
    field_descriptor_proto::{Label, Type},
};

use super::row::{Edge, Row};

/// Fields for which there is nothing past the longest: every number is right.
const ANY_NUMBER: [(&str, &str); 5] = [
    ("Subscribe", "start.last_lines"),
    ("Fetch", "start.last_lines"),
    ("Publish", "instance"),
    ("Publish", "lines[].truncated_bytes"),
    ("Publish", "lines[].time_unix_nano"),
];

const CUT_OFF: &str = "a message that is cut off";

/// What rows there have to be of a field.
const EDGES: [Edge; 3] = [Edge::Nothing, Edge::Longest, Edge::Past];

/// A field of a request, or one inside of it.
#[derive(Debug, Clone)]
struct Field {
    rpc: String,
    /// As `filter.matchers[].value`; of a map, `labels`, `labels.key` and `labels.value`.
    path: String,
    /// As a message that cannot be read names it.
    said: String,
    /// The numbers of the fields in which it is, from the outside in.
    within: Vec<u64>,
    number: u64,
    kind: Type,
    is_repeated: bool,
    is_map: bool,
}

/// All messages of the contract, by their full names.
fn messages() -> (FileDescriptorSet, BTreeMap<String, DescriptorProto>) {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut messages = BTreeMap::new();
    for file in &files.file {
        for message in &file.message_type {
            add(&mut messages, &format!(".{}", file.package()), message);
        }
    }
    (files, messages)
}

fn add(messages: &mut BTreeMap<String, DescriptorProto>, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    message.nested_type.iter().for_each(|nested| add(messages, &name, nested));
    messages.insert(name, message.clone());
}

/// The name of every call of the service and its request's.
fn calls(files: &FileDescriptorSet) -> Vec<(String, String)> {
    let services = files.file.iter().flat_map(|file| &file.service);
    let service = services.into_iter().find(|service| service.name() == "LogRelay").unwrap();
    service.method.iter().map(|method| (method.name().to_owned(), method.input_type().to_owned())).collect()
}

/// The fields of all requests, and those inside of them.
fn fields() -> Vec<Field> {
    let (files, messages) = messages();
    let mut fields = Vec::new();
    for (rpc, input) in calls(&files) {
        walk(&messages, &messages[&input], &Place { rpc, ..Place::default() }, &mut fields);
    }
    fields
}

/// Where in a request a message is.
#[derive(Debug, Clone, Default)]
struct Place {
    rpc: String,
    path: String,
    said: String,
    within: Vec<u64>,
}

fn walk(
    messages: &BTreeMap<String, DescriptorProto>,
    message: &DescriptorProto,
    place: &Place,
    found: &mut Vec<Field>,
) {
    for field in &message.field {
        let inner = messages.get(field.type_name());
        let is_map = inner.is_some_and(is_entry);
        let is_repeated = field.label() == Label::Repeated;
        let path = format!("{}{}", place.path, field.name());
        let number = u64::try_from(field.number()).unwrap();
        let said = said(message, field, &place.said);
        found.push(Field {
            rpc: place.rpc.clone(),
            path: path.clone(),
            said: said.clone(),
            within: place.within.clone(),
            number,
            kind: field.r#type(),
            is_repeated,
            is_map,
        });
        let Some(inner) = inner else { continue };
        let inside = Place {
            rpc: place.rpc.clone(),
            path: format!("{path}{}.", if is_repeated && !is_map { "[]" } else { "" }),
            said: format!("{said}."),
            within: [place.within.as_slice(), &[number]].concat(),
        };
        walk(messages, inner, &inside, found);
    }
}

/// Whether it is the entry of a map.
fn is_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(MessageOptions::map_entry)
}

/// What a field within `place` is called where it cannot be read: by the name of its choice where it
/// is one of several, and by that of the map.
fn said(message: &DescriptorProto, field: &FieldDescriptorProto, place: &str) -> String {
    if is_entry(message) {
        return place.trim_end_matches('.').to_owned();
    }
    let choice = field.oneof_index.filter(|_| !field.proto3_optional());
    let choice = choice.map(|index| message.oneof_decl[usize::try_from(index).unwrap()].name());
    format!("{place}{}", choice.unwrap_or(field.name()))
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

impl Field {
    /// Its key with this wire type and what is behind that, inside of the messages that it is in.
    fn bytes(&self, wire: u64, body: &[u8]) -> Vec<u8> {
        let bytes = [&varint(self.number << 3 | wire), body].concat();
        self.within.iter().rev().fold(bytes, |bytes, number| {
            [varint(number << 3 | 2), varint(bytes.len() as u64), bytes].concat()
        })
    }

    /// What it must not be, and as bytes.
    fn wrong_kinds(&self) -> Vec<(&'static str, Vec<u8>)> {
        match self.kind {
            Type::String => vec![
                ("a number for a text", self.bytes(0, &[1])),
                ("a text that is not UTF-8", self.bytes(2, &[2, b'a', 0xff])),
                ("a text that is cut off in a character", self.bytes(2, &[1, 0xe2])),
                ("a surrogate in a text", self.bytes(2, &[3, 0xed, 0xa0, 0x80])),
            ],
            Type::Bytes => vec![("a number for bytes", self.bytes(0, &[1]))],
            Type::Message => vec![
                ("a number for a message", self.bytes(0, &[1])),
                (CUT_OFF, self.bytes(2, &[5, 0x08])),
                ("a field of no number in a message", self.bytes(2, &[1, 0x00])),
            ],
            _ => vec![
                ("a text for a number", self.bytes(2, &[1, b'1'])),
                ("four bytes for a number", self.bytes(5, &[0; 4])),
            ],
        }
    }

    /// Paths that need rows of their edges.
    fn edges(&self) -> Vec<String> {
        let of_each = self.is_repeated && !self.is_map && self.kind != Type::Message;
        let itself = self.is_repeated || !matches!(self.kind, Type::Message | Type::Bool);
        let itself = itself.then(|| self.path.clone());
        itself.into_iter().chain(of_each.then(|| format!("{}[]", self.path))).collect()
    }
}

/// Each field of each request with bytes of the wrong kind, behind a request that is right.
pub(super) fn wrong_kinds(good: &BTreeMap<&'static str, Vec<u8>>) -> Vec<Row> {
    let mut rows = Vec::new();
    for field in fields() {
        let (rpc, request) = good.get_key_value(field.rpc.as_str()).expect(&field.rpc);
        for (what, bytes) in field.wrong_kinds() {
            // Lines are not decoded, and so what is wrong in one is not told apart.
            let is_line = field.path.starts_with("lines") && !(field.path == "lines" && what == CUT_OFF);
            let (reason, said) =
                if is_line { ("BAD_LINE", "lines[1]") } else { ("BAD_REQUEST", field.said.as_str()) };
            let what = format!("{}: {what}", field.path);
            rows.push(Row::of_bytes(rpc, what, [request.as_slice(), &bytes].concat(), reason, said));
        }
    }
    rows
}

/// Every edge of every field has a row, and no row is of a field that there is not.
pub(super) fn are_all_there(rows: &[Row]) {
    let there: BTreeSet<_> =
        rows.iter().flat_map(|row| row.edges.iter().map(|&(path, edge)| (row.rpc, path, edge))).collect();
    let fields = fields();
    let wanted: Vec<_> = fields
        .iter()
        .flat_map(|field| field.edges().into_iter().map(move |path| (field.rpc.as_str(), path)))
        .collect();
    let missing = wanted.iter().flat_map(|(rpc, path)| EDGES.map(|edge| (*rpc, path.as_str(), edge)));
    let missing: Vec<_> = missing
        .filter(|&(rpc, path, edge)| edge != Edge::Past || !ANY_NUMBER.contains(&(rpc, path)))
        .filter(|row| !there.contains(row))
        .collect();
    assert!(missing.is_empty(), "these have no row: {missing:#?}");
    let unknown: Vec<_> = there
        .into_iter()
        .filter(|&(rpc, path, _)| !wanted.iter().any(|(other, known)| *other == rpc && known == path))
        .collect();
    assert!(unknown.is_empty(), "there are no such fields: {unknown:#?}");
}
