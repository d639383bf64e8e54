//! The methods of the service, and the routes beside it.

use std::sync::Arc;

use axum::{
    Router,
    http::{StatusCode, header},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse as _, Response as HttpResponse},
    routing::get,
};
use bytes::Bytes;
use prometheus_client::{encoding::text, registry::Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use super::{
    Error, Options,
    administer::{Change, Deletion, Trimming},
    body,
    bounds::{Bound, TopicBound},
    census::{Census, Seat},
    cursors::{Commits, Inquiry},
    drain::Drain,
    durable::Claims,
    fetch::{Query, fetch},
    filter::Filters,
    generated::log_relay_server::{LogRelay, LogRelayServer},
    guard::{self, Guard},
    guest::Guest,
    metrics::Metrics,
    permit::{caller, permit},
    publish::Publishing,
    request, status,
    subscribe::Subscription,
    topic::{self, Question},
    topics,
};
use crate::{
    access::{Action, Principal},
    hub, proto,
    store::Store,
};

/// How many messages of a stream may wait to be sent: one, and one more, so that who sends the
/// first has room for the next without another turn.
const FRAMES_AHEAD: usize = 2;
/// What `/metrics` answers with.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the methods work with.
#[derive(Debug)]
pub(super) struct Relay {
    options: Options,
    store: Store,
    hub: hub::Handle,
    metrics: Metrics,
    drain: Drain,
    room: Arc<Semaphore>,
    identities: Census<String>,
    max_topics: TopicBound,
    filters: Filters,
    publishing: Publishing,
    claims: Claims,
}

/// What a subscription holds while it is there.
type Place = (OwnedSemaphorePermit, OwnedSemaphorePermit, Seat<String>);

impl Relay {
    pub(super) fn new(
        options: Options,
        store: Store,
        hub: hub::Handle,
        metrics: Metrics,
        drain: Drain,
        publishing: Publishing,
        claims: Claims,
    ) -> Self {
        let room = Arc::new(Semaphore::new(options.max_subscriptions.min(Semaphore::MAX_PERMITS)));
        let identities = Census::new(options.max_subscriptions_per_identity);
        let max_topics = TopicBound::new(options.max_topics, metrics.clone());
        let filters = Filters::default();
        Self {
            options,
            store,
            hub,
            metrics,
            drain,
            room,
            identities,
            max_topics,
            filters,
            publishing,
            claims,
        }
    }

    /// Who asks, unless the relay shuts down.
    fn enter<T>(&self, request: &Request<T>) -> Result<Principal, Status> {
        if self.drain.has_begun() {
            return Err(self.drain.shutting_down());
        }
        Ok(caller(request))
    }

    /// Room for a stream over this connection.
    fn seat(&self, guest: &Guest) -> Result<OwnedSemaphorePermit, Status> {
        let most = self.options.max_streams_per_connection;
        guest.seat().ok_or_else(|| Bound::StreamsPerConnection.reached(most, &self.metrics))
    }

    /// Room for a subscription.
    fn place(&self, caller: &Principal, guest: &Guest) -> Result<Place, Status> {
        let (options, metrics) = (&self.options, &self.metrics);
        let seat = self.seat(guest)?;
        let Some(one) = self.identities.seat(caller.name().to_owned()) else {
            let most = options.max_subscriptions_per_identity;
            return Err(Bound::SubscriptionsPerIdentity.reached(most, metrics));
        };
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return Err(Bound::Subscriptions.reached(options.max_subscriptions, metrics));
        };
        Ok((room, seat, one))
    }

    /// The connection over which a request came.
    fn guest<T>(&self, request: &Request<T>) -> Guest {
        Guest::of(request.extensions())
            .unwrap_or_else(|| Guest::new(self.options.max_streams_per_connection, &self.drain))
    }
}

#[tonic::async_trait]
impl LogRelay for Relay {
    type SubscribeStream = body::Nothing;
    type PublishStream = ReceiverStream<Result<proto::PublishResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = self.enter(&request)?;
        let guest = self.guest(&request);
        let request = request::parse(request.get_ref(), &self.options, &self.max_topics, &self.filters)?;
        request.topics.iter().try_for_each(|(topic, _)| permit(&caller, Action::Read, topic))?;
        let place = self.place(&caller, &guest)?;
        tracing::debug!(
            caller = caller.name(),
            topics = request.topics.len(),
            globs = request.globs.len(),
            "subscribed"
        );
        let (frames, answered) = mpsc::channel(FRAMES_AHEAD);
        let durable = request.subscription.clone().map(|name| self.claims.stream(name, &request.globs));
        let (leave, metrics) = (guest.leave().clone(), self.metrics.clone());
        let subscription = Subscription::new(request, &caller, durable, &self.hub, frames, leave, metrics);
        self.drain.subscriptions().spawn(async move {
            subscription.run().await;
            drop(place);
        });
        Ok(body::answer(answered))
    }

    async fn publish(
        &self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let caller = self.enter(&request)?;
        let guest = self.guest(&request);
        let seat = (self.seat(&guest)?, self.publishing.take_room()?);
        let (responses, stream) = mpsc::channel(FRAMES_AHEAD);
        let leave = guest.leave().clone();
        let call = self.publishing.clone().run(caller, request.into_inner(), responses, leave);
        self.drain.subscriptions().spawn(async move {
            call.await;
            drop(seat);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn list_topics(
        &self,
        request: Request<proto::ListTopicsRequest>,
    ) -> Result<Response<proto::ListTopicsResponse>, Status> {
        let caller = self.enter(&request)?;
        tracing::debug!(caller = caller.name(), "topics are listed");
        let topics = topics::list(&self.store, &self.hub, &caller, self.options.redis_wait_ms).await?;
        // A relay without the right to ask lists the topics all the same.
        let warnings = self.store.advice().await.unwrap_or_default();
        Ok(Response::new(proto::ListTopicsResponse { topics, warnings }))
    }

    async fn get_topic(
        &self,
        request: Request<proto::GetTopicRequest>,
    ) -> Result<Response<proto::GetTopicResponse>, Status> {
        let caller = self.enter(&request)?;
        let question = Question::parse(request.get_ref())?;
        permit(&caller, Action::Read, &question.topic)?;
        tracing::debug!(caller = caller.name(), ?question, "a topic is described");
        let described = topic::describe(&self.store, &self.hub, &question, self.options.redis_wait_ms);
        Ok(Response::new(described.await?))
    }

    async fn fetch(
        &self,
        request: Request<proto::FetchRequest>,
    ) -> Result<Response<proto::FetchResponse>, Status> {
        let caller = self.enter(&request)?;
        let query = Query::parse(request.get_ref(), &self.options, &self.filters)?;
        permit(&caller, Action::Read, &query.topic)?;
        tracing::debug!(caller = caller.name(), ?query, "a page is read");
        body::page(fetch(&query, &self.hub, &self.metrics, self.options.redis_wait_ms).await?)
    }

    async fn commit_cursor(
        &self,
        request: Request<proto::CommitCursorRequest>,
    ) -> Result<Response<proto::CommitCursorResponse>, Status> {
        // Also while the relay shuts down: what streams have sent is worth committing.
        let caller = caller(&request);
        let commits = Commits::parse(request.get_ref(), &self.max_topics)?;
        commits.cursors.iter().try_for_each(|cursor| permit(&caller, Action::Read, &cursor.topic))?;
        tracing::debug!(caller = caller.name(), ?commits, "cursors are committed");
        Ok(Response::new(commits.carry_out(&self.store, &self.options, &self.metrics).await?))
    }

    async fn delete_topic(
        &self,
        request: Request<proto::DeleteTopicRequest>,
    ) -> Result<Response<proto::DeleteTopicResponse>, Status> {
        let caller = self.enter(&request)?;
        let deletion = Deletion::parse(request.get_ref())?;
        permit(&caller, Action::Administer, &deletion.topic)?;
        tracing::info!(caller = caller.name(), ?deletion, "a topic is to be deleted");
        Ok(Response::new(deletion.carry_out(&self.store, self.options.redis_wait_ms).await?))
    }

    async fn trim_topic(
        &self,
        request: Request<proto::TrimTopicRequest>,
    ) -> Result<Response<proto::TrimTopicResponse>, Status> {
        let caller = self.enter(&request)?;
        let trimming = Trimming::parse(request.get_ref())?;
        permit(&caller, Action::Administer, &trimming.topic)?;
        tracing::info!(caller = caller.name(), ?trimming, "a topic is to be trimmed");
        Ok(Response::new(trimming.carry_out(&self.store, self.options.redis_wait_ms).await?))
    }

    async fn set_retention(
        &self,
        request: Request<proto::SetRetentionRequest>,
    ) -> Result<Response<proto::SetRetentionResponse>, Status> {
        let caller = self.enter(&request)?;
        let change = Change::parse(request.get_ref())?;
        permit(&caller, Action::Administer, &change.topic)?;
        tracing::info!(caller = caller.name(), ?change, "the retention of a topic is set");
        Ok(Response::new(change.carry_out(&self.store, self.options.redis_wait_ms).await?))
    }

    async fn get_cursor(
        &self,
        request: Request<proto::GetCursorRequest>,
    ) -> Result<Response<proto::GetCursorResponse>, Status> {
        let caller = self.enter(&request)?;
        let inquiry = Inquiry::parse(request.get_ref(), &self.max_topics)?;
        inquiry.wanted.iter().try_for_each(|(topic, _)| permit(&caller, Action::Read, topic))?;
        Ok(Response::new(inquiry.answer(&self.store, self.options.redis_wait_ms).await?))
    }
}

/// Everything that the port answers.
pub(super) fn routes(
    relay: Relay,
    health: Routes,
    guard: Guard,
    registry: Arc<Registry>,
) -> Result<Router, Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let max_request_bytes = relay.options.max_request_bytes;
    let services = health
        .add_service(LogRelayServer::new(relay).max_decoding_message_size(max_request_bytes))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let metrics = get(move || async move { metrics(&registry) });
    let router = services.into_axum_router().route("/metrics", metrics).fallback(unknown);
    Ok(router.layer(map_response(body::complete)).layer(from_fn_with_state(guard, guard::identify)))
}

fn metrics(registry: &Registry) -> HttpResponse {
    let mut shown = String::new();
    match text::encode(&mut shown, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], shown).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What is not there: said in the way of whoever asks.
async fn unknown(request: axum::extract::Request) -> HttpResponse {
    let path = request.uri().path();
    let message = format!("{path} is not here: there is gRPC (logrelay.v1.LogRelay) and /metrics");
    status::answer(&request, &Status::unimplemented(message), StatusCode::NOT_FOUND)
}
