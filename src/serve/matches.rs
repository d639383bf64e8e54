//! The topics that the patterns of a subscription match: those that are there, and later
//! those that are new. What a caller may not read is as if it were not there.

use std::{collections::HashSet, pin::Pin};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tonic::Status;

use super::{
    bounds::TopicBound,
    durable::Durable,
    lane::{Lane, LaneBuilder},
    request::Request,
};
use crate::{
    access::{Action, Principal},
    hub::{self, News, Start},
    proto::OpenedTopic,
    record::{Topic, TopicGlob},
};

/// How many topics are held against the patterns before others have their turn: there may be
/// many, and long patterns.
const AT_ONCE: usize = 64;

/// The patterns of one subscription, and what is there for them.
#[derive(Debug)]
pub(super) struct Matches {
    news: News,
    choice: Choice,
    builder: LaneBuilder,
    /// Topics that were born, until it is known where they begin.
    joining: FuturesUnordered<Joining>,
}

type Joining = Pin<Box<dyn Future<Output = Result<(Lane, OpenedTopic), Status>> + Send>>;

/// Which topics are taken.
#[derive(Debug)]
struct Choice {
    globs: Vec<TopicGlob>,
    caller: Principal,
    /// Those of the subscription, also those that are named.
    taken: HashSet<Topic>,
    max_topics: TopicBound,
}

impl Matches {
    /// None where a request has no patterns.
    pub(super) fn new(
        request: &Request,
        caller: &Principal,
        durable: Option<&Durable>,
        hub: &hub::Handle,
    ) -> Option<Self> {
        let choice = Choice {
            globs: request.globs.clone(),
            caller: caller.clone(),
            taken: request.topics.iter().map(|(topic, _)| topic.clone()).collect(),
            max_topics: request.max_topics.clone(),
        };
        (!request.globs.is_empty()).then(|| Self {
            news: hub.news(),
            choice,
            builder: LaneBuilder::new(request, durable, hub),
            joining: FuturesUnordered::new(),
        })
    }

    /// The topics that are there now and that nobody named. Waits as long as Redis is away.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` where the subscription has too many topics with them.
    pub(super) async fn existing(&mut self) -> Result<Vec<Topic>, Status> {
        let mut existing = Vec::new();
        for topics in self.news.all().await.chunks(AT_ONCE) {
            existing.extend(self.choice.take(topics.to_vec())?);
            tokio::task::yield_now().await;
        }
        Ok(existing)
    }

    /// A topic that was born, at its first line; waits for one. May be cancelled without losing any.
    ///
    /// # Errors
    /// As [`existing`](Self::existing) and [`LaneBuilder::open`].
    pub(super) async fn joined(&mut self) -> Result<(Lane, OpenedTopic), Status> {
        loop {
            let topics = tokio::select! {
                biased;
                Some(joined) = self.joining.next() => return joined,
                topics = self.news.next() => topics,
            };
            for topic in self.choice.take(topics)? {
                tracing::debug!(%topic, "a topic joins");
                self.joining.push(Box::pin(self.builder.clone().open(topic, Start::Birth)));
            }
        }
    }
}

impl Choice {
    /// Those of the topics that are new to the subscription and belong to it.
    fn take(&mut self, mut topics: Vec<Topic>) -> Result<Vec<Topic>, Status> {
        topics.retain(|topic| {
            self.globs.iter().any(|glob| glob.matches(topic))
                && self.caller.may(Action::Read, topic)
                && self.taken.insert(topic.clone())
        });
        self.max_topics.check(self.taken.len())?;
        Ok(topics)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::metrics::Metrics, *};
    use crate::access::Grants;

    fn topics(names: &[&str]) -> Vec<Topic> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn choice(globs: &[&str], readable: &str) -> Choice {
        let grants = Grants { read: vec![readable.parse().unwrap()], ..Grants::default() };
        Choice {
            globs: globs.iter().map(|glob| glob.parse().unwrap()).collect(),
            caller: Principal::anonymous(grants),
            taken: topics(&["named"]).into_iter().collect(),
            max_topics: TopicBound::new(3, Metrics::default()),
        }
    }

    #[test]
    fn a_topic_that_is_named_or_matched_twice_is_taken_once() {
        let mut choice = choice(&["n*", "*d", "web.*"], "*");
        assert_eq!(choice.take(topics(&["named", "need", "other"])).unwrap(), topics(&["need"]));
        assert_eq!(choice.take(topics(&["need", "web.1"])).unwrap(), topics(&["web.1"]));
    }

    #[test]
    fn what_may_not_be_read_is_neither_taken_nor_counted() {
        let mut choice = choice(&["*"], "open.*");
        let many: Vec<_> = (0..9).map(|number| format!("secret.{number}").parse().unwrap()).collect();
        assert_eq!(choice.take(many).unwrap(), []);
        assert_eq!(choice.take(topics(&["open.1", "secret.x"])).unwrap(), topics(&["open.1"]));
    }

    #[test]
    fn one_topic_more_than_the_bound_is_refused_with_it() {
        let mut choice = choice(&["*"], "*");
        assert_eq!(choice.take(topics(&["a", "b"])).unwrap().len(), 2);
        let status = choice.take(topics(&["c"])).unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        assert!(status.message().contains("4 topics") && status.message().contains("max_topics is 3"));
    }
}
