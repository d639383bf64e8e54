//! What to ask a relay for: a decision over the state, without I/O.
//!
//! A call has one start. Topics that were never opened need the caller's; those that did not
//! exist when they were opened, or that were born since their pattern was, need `earliest`,
//! or lines of them would be missed. Where there are both, a first call, for a part, only asks
//! where the former begin.

use super::{Start, State};
use crate::record::{Cursor, Topic, TopicGlob};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// Names and patterns.
    pub(super) topics: Vec<TopicGlob>,
    pub(super) cursors: Vec<Cursor>,
    /// Where the topics begin that have no cursor.
    pub(super) start: Start,
    /// Whether the rest has to be asked for as soon as this is opened.
    pub(super) is_part: bool,
}

impl Call {
    /// The call to make now for these topics.
    pub(super) fn next(asked: &[TopicGlob], state: &State, start: Start) -> Self {
        let is_fresh = |pattern: &&TopicGlob| match pattern.as_topic() {
            Some(topic) => state.is_fresh(&topic),
            None => !state.has_opened(pattern),
        };
        let is_asked = |topic: &Topic| asked.iter().any(|pattern| pattern.matches(topic));
        let some_fresh = asked.iter().any(|pattern| is_fresh(&pattern));
        let some_born = state.globs().next().is_some()
            || state.topics().any(|topic| state.is_awaited(topic) && is_asked(topic));
        let is_part = some_fresh && some_born;
        let topics: Vec<_> = asked.iter().filter(|pattern| !is_part || is_fresh(pattern)).cloned().collect();
        let is_of_call = |cursor: &&Cursor| topics.iter().any(|pattern| pattern.matches(&cursor.topic));
        let cursors = state.cursors().filter(is_of_call).cloned().collect();
        let start = if some_fresh { start } else { Start::Earliest };
        Self { topics, cursors, start, is_part }
    }

    /// Takes in where a relay opened the topics of this call. They are all in its first message;
    /// later ones are of topics that were born since.
    pub(super) fn open(&self, state: &mut State, topics: Vec<(Topic, Option<Cursor>)>) {
        for (topic, cursor) in topics {
            // A part knows nothing of those that are wanted from their first line on.
            if !self.is_part || state.is_fresh(&topic) {
                state.open(&topic, cursor);
            }
        }
        for pattern in self.topics.iter().filter(|pattern| pattern.as_topic().is_none()) {
            state.open_glob(pattern.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What happens to a reader of topics `a0` to `b3`, one after the other.
    #[derive(Debug, Clone)]
    enum Happens {
        /// The topic gets a line; with its first one it is born.
        Line(u8),
        /// The topic is announced, without a line.
        Announced(u8),
        /// The reader makes a call, which is cut before or after `opened`.
        Call { is_opened: bool },
        /// The reader is connected, and hears of new topics.
        Hears,
        /// The reader starts anew, from its state as text, and also asks for this.
        AsksFor(usize),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            4 => (0..8_u8).prop_map(Happens::Line),
            1 => (0..8_u8).prop_map(Happens::Announced),
            3 => any::<bool>().prop_map(|is_opened| Happens::Call { is_opened }),
            2 => Just(Happens::Hears),
            1 => (0..PATTERNS.len()).prop_map(Happens::AsksFor),
        ]
    }

    const PATTERNS: [&str; 6] = ["a*", "*1", "a1", "b2", "*", "b3"];

    fn topic(number: u8) -> Topic {
        format!("{}{}", if number < 4 { 'a' } else { 'b' }, number % 4).parse().unwrap()
    }

    /// Topics, a relay and a reader that asks for `latest`, all by the contract.
    #[derive(Default)]
    struct World {
        /// The next offset of each topic that was announced; none: it has had no line.
        next: BTreeMap<Topic, Option<u64>>,
        asked: Vec<TopicGlob>,
        state: State,
        /// The call that a relay serves, and the topics of it.
        served: Option<(Call, Vec<Topic>)>,
        /// Where each topic has to begin: where it was when something that asks for it was opened first.
        wanted: BTreeMap<Topic, u64>,
    }

    impl World {
        fn cursor(topic: &Topic, offset: u64) -> Cursor {
            format!("{topic}@00000000000000aa:{offset}").parse().unwrap()
        }

        /// Where a relay opens the topic.
        fn opened(&self, call: &Call, topic: &Topic) -> (Topic, Option<Cursor>) {
            let given = call.cursors.iter().find(|cursor| cursor.topic == *topic);
            let next = self.next.get(topic).copied().flatten();
            let offset = |next| if call.start == Start::Earliest { 0 } else { next };
            let from_start = next.map(|next| Self::cursor(topic, offset(next)));
            (topic.clone(), given.cloned().or(from_start))
        }

        fn call(&mut self, is_opened: bool) {
            self.served = None;
            let call = Call::next(&self.asked, &self.state, Start::Latest);
            assert!(call.cursors.iter().all(|cursor| call.topics.iter().any(|p| p.matches(&cursor.topic))));
            if !is_opened || call.topics.is_empty() {
                return;
            }
            let is_of_call = |topic: &&Topic| call.topics.iter().any(|pattern| pattern.matches(topic));
            let mut topics: Vec<_> = self.next.keys().filter(is_of_call).cloned().collect();
            let named = call.topics.iter().filter_map(TopicGlob::as_topic);
            topics.extend(named.filter(|topic| !self.next.contains_key(topic)));
            // What has to hold: a topic that nothing asked for before begins at the tail of now.
            let (next, asked) = (&self.next, &call.topics);
            for number in 0..8 {
                let topic = topic(number);
                if self.state.is_fresh(&topic) && asked.iter().any(|pattern| pattern.matches(&topic)) {
                    self.wanted.insert(topic.clone(), next.get(&topic).copied().flatten().unwrap_or(0));
                }
            }
            let opened = topics.iter().map(|topic| self.opened(&call, topic)).collect();
            call.open(&mut self.state, opened);
            if call.is_part {
                return self.call(is_opened);
            }
            self.served = Some((call, topics));
            self.hear();
        }

        /// The relay tells of topics that were born, and where each is.
        fn hear(&mut self) {
            let Some((call, mut topics)) = self.served.take() else { return };
            let earliest = Call { start: Start::Earliest, ..call.clone() };
            let is_new = |topic: &&Topic| {
                !topics.contains(topic) && call.topics.iter().any(|pattern| pattern.matches(topic))
            };
            let born: Vec<_> = self.next.keys().filter(is_new).cloned().collect();
            for topic in born {
                let opened = vec![self.opened(&earliest, &topic)];
                call.open(&mut self.state, opened);
                topics.push(topic);
            }
            // A topic that was awaited and exists is told of by a heartbeat, and begins at 0.
            for topic in topics.iter().filter(|topic| self.next.get(topic).copied().flatten().is_some()) {
                if self.state.is_awaited(topic) {
                    self.state.observe(Self::cursor(topic, 0));
                }
            }
            self.served = Some((call, topics));
        }
    }

    proptest! {
        #[test]
        fn each_topic_begins_where_it_was_when_it_was_first_asked_for_or_with_its_first_line(
            events in prop::collection::vec(happens(), 1..60),
        ) {
            let mut world = World::default();
            for event in events {
                match event {
                    Happens::Line(number) => *world.next.entry(topic(number)).or_default().get_or_insert(0) += 1,
                    Happens::Announced(number) => drop(world.next.entry(topic(number)).or_default()),
                    Happens::Call { is_opened } => world.call(is_opened),
                    Happens::Hears => world.hear(),
                    Happens::AsksFor(number) => {
                        let text = serde_json::to_string(&world.state).unwrap();
                        world.state = serde_json::from_str(&text).unwrap();
                        world.served = None;
                        let pattern = PATTERNS[number].parse().unwrap();
                        if !world.asked.contains(&pattern) {
                            world.asked.push(pattern);
                        }
                    }
                }
            }
            world.call(true);
            for cursor in world.state.cursors() {
                prop_assert_eq!(cursor.offset.get(), world.wanted[&cursor.topic], "{}", cursor);
            }
            let is_asked = |topic: &Topic| world.asked.iter().any(|pattern| pattern.matches(topic));
            for (topic, next) in world.next.iter().filter(|(topic, _)| is_asked(topic)) {
                prop_assert!(next.is_none() || world.state.cursor(topic).is_some(), "{} is not read", topic);
            }
        }
    }
}
