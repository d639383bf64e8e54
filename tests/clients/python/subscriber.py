"""A subscriber that loses no line and prints none twice: how to write a client of
logrelay in any language. It needs grpcio, protobuf and the stubs of the contract:

    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. \\
        proto/logrelay/v1/logrelay.proto

Three rules make it exact, over any number of relays and connections:

1. Remember the cursor of each topic, and send it on every call. Once the first
   `opened` has come, start with `earliest`: a topic without a cursor, named or
   matched by a pattern such as `web.*`, did not exist then, and all of it is new.
2. When a call ends, for whatever reason that is not the request's own fault, make
   it again, on any relay.
3. After `rewound`, lines come again with the same source and line number: keep the
   highest number of each source, and drop what is not above it.

Lines go to standard output as one JSON object each, events to standard error.
"""

import argparse
import base64
import itertools
import json
import random
import sys
import time

import grpc
from google.protobuf.json_format import MessageToDict
from logrelay.v1 import logrelay_pb2 as pb
from logrelay.v1 import logrelay_pb2_grpc as rpc

CHANNEL_OPTIONS = [
    # A relay that vanished without a word is noticed within seconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 5.0
# Trying again would end in the same way.
FINAL = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}


class Cut(Exception):
    """The subscriber itself leaves the call."""


class Subscriber:
    """What has to be remembered from one call to the next."""

    def __init__(self, topics, start, cursors, until_lines=None, cut_after=None):
        self.topics = topics
        self.start = start
        self.cursors = cursors  # topic -> the next line wanted
        self.marks = {}  # (topic, source) -> the next line number not seen yet
        self.printed = 0
        self.until_lines = until_lines
        self.cut_after = cut_after
        self.cut_at = None

    def request(self):
        return pb.SubscribeRequest(
            topics=self.topics, cursors=self.cursors.values(), start=self.start
        )

    def run(self, relays):
        """Goes round the relays until all lines that were asked for are printed."""
        delay = FIRST_DELAY_S
        for relay in itertools.cycle(relays):
            self.cut_at = self.cut_after and self.printed + self.cut_after
            heard = False
            try:
                with grpc.insecure_channel(relay, options=CHANNEL_OPTIONS) as channel:
                    for response in rpc.LogRelayStub(channel).Subscribe(self.request()):
                        heard = True
                        self.handle(response)
                        if self.done():
                            return
            except Cut:
                event("cut", relay=relay)
                continue
            except grpc.RpcError as error:
                event("disconnected", relay=relay, code=error.code().name, details=error.details())
                if error.code() in FINAL:
                    raise
            delay = FIRST_DELAY_S if heard else min(2 * delay, LONGEST_DELAY_S)
            time.sleep(delay * random.uniform(0.5, 1))

    def done(self):
        return self.until_lines is not None and self.printed >= self.until_lines

    def handle(self, response):
        kind = response.WhichOneof("event")
        message = getattr(response, kind) if kind else None
        if kind == "batch":
            self.print_batch(message)
            return
        if kind == "opened":
            self.move(message.topics)
            # Rule 1; also of topics that join.
            self.start = pb.Start(earliest=True)
        elif kind == "heartbeat":
            self.move(message.topics)
            return
        elif kind in ("gap", "rewound", "reset", "caught_up"):
            self.move([message])
        # `closing` needs no rule of its own: the call ends, and rule 2 holds.
        # Nor does what a newer relay may send: it can be left alone.
        if kind:
            event(kind, **MessageToDict(message, preserving_proto_field_name=True))

    def move(self, moved):
        self.cursors.update({each.topic: each.cursor for each in moved if each.cursor})

    def print_batch(self, batch):
        source = (batch.topic, batch.source.key)
        deltas = batch.offset_deltas or range(len(batch.lines))
        for delta, line in zip(deltas, batch.lines):
            offset, number = batch.base_offset + delta, batch.first_line + delta
            cursor = f"{batch.topic}@{batch.epoch}:{offset + 1}"
            if number >= self.marks.get(source, 0):
                self.print_line(batch, offset, number, cursor, line.content)
                self.marks[source] = number + 1
            self.cursors[batch.topic] = cursor
            if self.done():
                break
            if self.printed == self.cut_at:
                sys.stdout.flush()
                raise Cut
        else:
            self.cursors[batch.topic] = batch.next_cursor
        sys.stdout.flush()

    def print_line(self, batch, offset, number, cursor, content):
        line = {
            "topic": batch.topic,
            "epoch": batch.epoch,
            "offset": offset,
            "cursor": cursor,
            "source": batch.source.key,
            "line_number": number,
        }
        try:
            line["line"] = content.decode()
        except UnicodeDecodeError:
            line["line_base64"] = base64.b64encode(content).decode()
        print(json.dumps(line))
        self.printed += 1


def event(kind, **fields):
    print(json.dumps({"event": kind, **fields}), file=sys.stderr, flush=True)


def parse_from(text):
    """`earliest`, `latest`, `last=N`, or a cursor: where to begin, and the cursors."""
    if text in ("earliest", "latest"):
        return pb.Start(**{text: True}), {}
    if text.startswith("last="):
        return pb.Start(last_lines=int(text.removeprefix("last="))), {}
    topic, at, _ = text.partition("@")
    if not at:
        raise argparse.ArgumentTypeError(f"not earliest, latest, last=N or a cursor: {text}")
    return None, {topic: text}


def main():
    parser = argparse.ArgumentParser(description="Prints the lines of topics, each once.")
    parser.add_argument("--relay", action="append", required=True, metavar="HOST:PORT")
    parser.add_argument("--topic", action="append", required=True)
    parser.add_argument("--from", dest="start", type=parse_from, default="latest")
    parser.add_argument("--until-lines", type=int, metavar="N", help="leave after N lines")
    parser.add_argument("--cut-after", type=int, metavar="N", help="change relay every N lines")
    args = parser.parse_args()
    start, cursors = args.start
    subscriber = Subscriber(args.topic, start, cursors, args.until_lines, args.cut_after)
    try:
        subscriber.run(args.relay)
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
