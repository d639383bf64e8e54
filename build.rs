//! Compiles the contract: messages and client from the .proto (by protox, so
//! no protoc is needed), and the server with codecs of our own.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;
use tonic_build::manual;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["logrelay/v1/logrelay.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure()
        .build_server(false)
        .codec_path("crate::proto::codec::SharedCodec")
        .bytes(".logrelay.v1.Line.content")
        .btree_map(".")
        .compile_fds(descriptors)?;

    // The server is described by hand because its requests have a decoder of
    // their own, and published lines come in as they are stored.
    let service = manual::Service::builder()
        .name("LogRelay")
        .package("logrelay.v1")
        .method(
            manual::Method::builder()
                .name("subscribe")
                .route_name("Subscribe")
                .input_type("crate::proto::SubscribeRequest")
                .output_type("crate::proto::SubscribeResponse")
                .codec_path("crate::serve::RequestCodec")
                .server_streaming()
                .build(),
        )
        .method(
            manual::Method::builder()
                .name("publish")
                .route_name("Publish")
                .input_type("bytes::Bytes")
                .output_type("crate::proto::PublishResponse")
                .codec_path("crate::serve::PublishCodec")
                .client_streaming()
                .server_streaming()
                .build(),
        )
        .method(unary("list_topics", "ListTopics"))
        .method(unary("get_topic", "GetTopic"))
        .method(unary("fetch", "Fetch"))
        .method(unary("commit_cursor", "CommitCursor"))
        .method(unary("get_cursor", "GetCursor"))
        .method(unary("delete_topic", "DeleteTopic"))
        .method(unary("trim_topic", "TrimTopic"))
        .method(unary("set_retention", "SetRetention"))
        .build();
    let server = out.join("server");
    fs::create_dir_all(&server)?;
    manual::Builder::new().build_client(false).out_dir(server).compile(&[service]);
    Ok(())
}

/// A call of one request and one response, named as the contract names them.
fn unary(name: &str, route: &str) -> manual::Method {
    manual::Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("crate::proto::{route}Request"))
        .output_type(format!("crate::proto::{route}Response"))
        .codec_path("crate::serve::RequestCodec")
        .build()
}
