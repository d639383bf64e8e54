//! The methods of the service, and the routes beside it.

use std::sync::Arc;

use axum::{
    Router,
    http::{StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response as HttpResponse},
    routing::get,
};
use bytes::Bytes;
use prometheus_client::{encoding::text, registry::Registry};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming, service::Routes};

use super::{
    Error, Options,
    drain::{self, Drain},
    filter::Filters,
    frame::Frame,
    generated::log_relay_server::{LogRelay, LogRelayServer},
    guard::{self, Guard},
    metrics::Metrics,
    permit::{caller, permit},
    publish::Publishing,
    request, status,
    subscribe::Subscription,
    topic::{self, Question},
    topics,
};
use crate::{access::Action, hub, proto, store::Store};

/// How many messages of a stream may wait to be sent.
const FRAMES_AHEAD: usize = 1;
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
    filters: Filters,
    publishing: Publishing,
}

impl Relay {
    pub(super) fn new(
        options: Options,
        store: Store,
        hub: hub::Handle,
        metrics: Metrics,
        drain: Drain,
        publishing: Publishing,
    ) -> Self {
        let room = Arc::new(Semaphore::new(options.max_subscriptions.min(Semaphore::MAX_PERMITS)));
        Self { options, store, hub, metrics, drain, room, filters: Filters::default(), publishing }
    }

    fn is_open(&self) -> Result<(), Status> {
        if self.drain.has_begun() {
            return Err(drain::shutting_down());
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl LogRelay for Relay {
    type SubscribeStream = ReceiverStream<Result<Frame, Status>>;
    type PublishStream = ReceiverStream<Result<proto::PublishResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = caller(&request);
        self.is_open()?;
        let request = request::parse(request.get_ref(), &self.options, &self.filters)?;
        request.topics.iter().try_for_each(|(topic, _)| permit(&caller, Action::Read, topic))?;
        let Ok(seat) = Arc::clone(&self.room).try_acquire_owned() else {
            let bound = self.options.max_subscriptions;
            let message =
                format!("this relay has {bound} subscriptions, which is its bound max_subscriptions");
            let metadata = [("max_subscriptions", bound.to_string())];
            return Err(status::with_reason(
                Code::ResourceExhausted,
                "TOO_MANY_SUBSCRIPTIONS",
                message,
                &metadata,
            ));
        };
        tracing::debug!(
            caller = caller.name(),
            topics = request.topics.len(),
            globs = request.globs.len(),
            "subscribed"
        );
        let (frames, stream) = mpsc::channel(FRAMES_AHEAD);
        let (drain, metrics) = (self.drain.clone(), self.metrics.clone());
        let subscription = Subscription::new(request, &caller, &self.hub, frames, drain, metrics);
        self.drain.subscriptions().spawn(async move {
            subscription.run().await;
            drop(seat);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn publish(
        &self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let caller = caller(&request);
        self.is_open()?;
        let seat = self.publishing.take_room()?;
        let (responses, stream) = mpsc::channel(FRAMES_AHEAD);
        let call = self.publishing.clone().run(caller, request.into_inner(), responses);
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
        let caller = caller(&request);
        self.is_open()?;
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
        let caller = caller(&request);
        self.is_open()?;
        let question = Question::parse(request.get_ref())?;
        permit(&caller, Action::Read, &question.topic)?;
        tracing::debug!(caller = caller.name(), ?question, "a topic is described");
        let described = topic::describe(&self.store, &self.hub, &question, self.options.redis_wait_ms);
        Ok(Response::new(described.await?))
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
    let services = health
        .add_service(LogRelayServer::new(relay))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let metrics = get(move || async move { metrics(&registry) });
    let router = services.into_axum_router().route("/metrics", metrics).fallback(unknown);
    Ok(router.layer(from_fn_with_state(guard, guard::identify)))
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
    if guard::is_grpc(&request) {
        let message = format!("{} is no method of this relay", request.uri().path());
        return Status::unimplemented(message).into_http();
    }
    (StatusCode::NOT_FOUND, "there is gRPC (logrelay.v1.LogRelay) and /metrics here\n").into_response()
}
