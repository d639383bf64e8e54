# One image for every command: `docker run … logrelay serve`, `… tail`, `… subscribe`.

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY src src
COPY fuzz fuzz
RUN cargo build --release --locked --bin logrelay

FROM debian:bookworm-slim
RUN useradd --system --uid 7171 --no-create-home logrelay
COPY --from=build /build/target/release/logrelay /usr/local/bin/logrelay
USER logrelay
EXPOSE 7171
ENTRYPOINT ["logrelay"]
CMD ["--help"]
