"""kafka-python, the pure Python client: the verbs of ../README.md. Runs with 2.0.2 (as Debian ships it) and 3.x."""
import os
import select
import sys
import threading
import time

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.structs import OffsetAndMetadata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import transactions

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PATIENCE = 120  # seconds that any single step may take
MODERN = int(kafka.__version__.split(".")[0]) >= 3


def create(broker, topic, partitions):
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(topic, partitions, 1)])
    admin.close()


def send(broker, topic, values, **settings):
    """Produces values and returns [(partition, offset)] in their order."""
    producer = KafkaProducer(bootstrap_servers=broker, acks="all", **settings)
    futures = [producer.send(topic, value) for value in values]
    producer.flush(PATIENCE)
    done = [future.get(PATIENCE) for future in futures]
    producer.close()
    return [(m.partition, m.offset) for m in done]


def consumer(broker, group, **settings):
    return KafkaConsumer(bootstrap_servers=broker, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                         session_timeout_ms=6000, heartbeat_interval_ms=500, **settings)


def offset_and_metadata(offset):
    fields = len(OffsetAndMetadata._fields)
    return OffsetAndMetadata(*([offset, "", -1][:fields]))


class Member:
    """A group member on a thread of its own: kafka-python joins inside poll, and blocks there."""

    def __init__(self, broker, group, topic, settings):
        self.seen, self.owned, self.error, self.stop = set(), 0, None, threading.Event()
        self.thread = threading.Thread(target=self.run, args=(broker, group, topic, settings))
        self.thread.start()

    def run(self, broker, group, topic, settings):
        try:
            c = consumer(broker, group, **settings)
            c.subscribe([topic])
            while not self.stop.is_set():
                for batch in c.poll(timeout_ms=100).values():
                    self.seen.update(m.value for m in batch)
                self.owned = len(c.assignment())
            c.close()
        except Exception as error:
            self.error = error

    def close(self):
        self.stop.set()
        self.thread.join(PATIENCE)


def wait(what, condition, members):
    until = time.time() + PATIENCE
    while not condition():
        for m in members:
            if m.error:
                raise m.error
        if time.time() > until:
            raise RuntimeError("%s did not happen; members own %s" % (what, [m.owned for m in members]))
        time.sleep(0.05)


def feature_create(broker, prefix):
    create(broker, prefix + "-create", 3)
    c = KafkaConsumer(bootstrap_servers=broker)
    if c.partitions_for_topic(prefix + "-create") != {0, 1, 2}:
        raise RuntimeError("wrong partitions")
    c.close()


def feature_auto_create(broker, prefix):
    if send(broker, prefix + "-auto", [b"x"])[0][1] != 0:
        raise RuntimeError("first offset is not 0")


def feature_codec(codec):
    def check(broker, prefix):
        topic = prefix + "-" + codec
        create(broker, topic, 1)
        values = [(b"%s %d " % (codec.encode(), i)) * 20 for i in range(200)]
        send(broker, topic, values, compression_type=None if codec == "none" else codec, linger_ms=20)
        c = KafkaConsumer(bootstrap_servers=broker, consumer_timeout_ms=PATIENCE * 1000)
        c.assign([TopicPartition(topic, 0)])
        c.seek(TopicPartition(topic, 0), 0)
        got = []
        for message in c:
            got.append(message.value)
            if len(got) == len(values):
                break
        c.close()
        if got != values:
            raise RuntimeError("read back %d of %d records, or others" % (len(got), len(values)))
    return check


def feature_group(name, **settings):
    def check(broker, prefix):
        topic, group = prefix + "-group-" + name, prefix + "-g-" + name
        create(broker, topic, 4)
        first = {b"first %d" % i for i in range(200)}
        send(broker, topic, sorted(first))
        members = [Member(broker, group, topic, settings), Member(broker, group, topic, settings)]
        try:
            wait("2+2 and all records", lambda: first <= set().union(*(m.seen for m in members)) and
                 [m.owned for m in members] == [2, 2], members)
            members.append(Member(broker, group, topic, settings))
            wait("three share", lambda: sorted(m.owned for m in members) == [1, 1, 2], members)
            members.pop(0).close()
            second = {b"second %d" % i for i in range(200)}
            send(broker, topic, sorted(second))
            wait("the rest take over", lambda: second <= set().union(*(m.seen for m in members)) and
                 [m.owned for m in members] == [2, 2], members)
        finally:
            for m in members:
                m.close()
    return check


def feature_resume(broker, prefix):
    topic, group = prefix + "-resume", prefix + "-g-resume"
    create(broker, topic, 1)
    send(broker, topic, [b"%d" % i for i in range(100)])
    c = consumer(broker, group)
    c.subscribe([topic])
    count, until = 0, time.time() + PATIENCE
    while count < 40 and time.time() < until:
        for tp, batch in c.poll(timeout_ms=200, max_records=10).items():
            count += len(batch)
            c.commit({tp: offset_and_metadata(batch[-1].offset + 1)})
    c.close()
    c = consumer(broker, group)
    c.subscribe([topic])
    first, until = None, time.time() + PATIENCE
    while first is None and time.time() < until:
        for batch in c.poll(timeout_ms=200, max_records=1).values():
            first = batch[0].offset
    c.close()
    if first != 40:
        raise RuntimeError("came back at %s, not 40" % first)


def feature_seek_time(broker, prefix):
    topic = prefix + "-time"
    create(broker, topic, 1)
    producer = KafkaProducer(bootstrap_servers=broker)
    for i in range(10):
        producer.send(topic, b"%d" % i, timestamp_ms=1_700_000_000_000 + 1000 * i)
    producer.flush(PATIENCE)
    producer.close()
    tp = TopicPartition(topic, 0)
    c = KafkaConsumer(bootstrap_servers=broker)
    found = c.offsets_for_times({tp: 1_700_000_004_500})[tp]
    late = c.offsets_for_times({tp: 1_800_000_000_000})[tp]
    low, high = c.beginning_offsets([tp])[tp], c.end_offsets([tp])[tp]
    c.close()
    if found.offset != 5 or late is not None or (low, high) != (0, 10):
        raise RuntimeError("found %s, late %s, ends %s..%s" % (found, late, low, high))


def feature_idempotent(broker, prefix):
    topic = prefix + "-idempotent"
    create(broker, topic, 1)
    at = send(broker, topic, [b"%d" % i for i in range(1000)], enable_idempotence=True)
    if at != [(0, i) for i in range(1000)]:
        raise RuntimeError("offsets are not 0..999 in order")


def within(seconds, call):
    """Calls with a bound: a transaction of kafka-python may wait for ever for a request that it lost as its broker went away."""
    outcome = []

    def run():
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise RuntimeError("no end after %d seconds" % seconds)
    if isinstance(outcome[0], Exception):
        raise outcome[0]


class Transactional:
    """A transactional producer, and a consumer in a group where it relays."""

    def __init__(self, broker, id, source=None, target=None):
        self.group, self.target = id, target
        self.producer = KafkaProducer(bootstrap_servers=broker, transactional_id=id, retry_backoff_ms=50)
        self.producer.init_transactions()  # what an older one has left is decided before the group looks for its offsets
        self.consumer = None
        if source:
            self.consumer = consumer(broker, id, isolation_level="read_committed")
            self.consumer.subscribe([source])

    def begin(self):
        self.producer.begin_transaction()

    def send(self, topic, values):
        futures = [self.producer.send(topic, value) for value in values]
        self.producer.flush(PATIENCE)
        for future in futures:
            future.get(PATIENCE)

    def end(self, commit):
        if commit:
            self.producer.commit_transaction()
        else:
            self.producer.abort_transaction()

    def next(self, commit):
        batches = self.consumer.poll(timeout_ms=200, max_records=transactions.RELAY_MAX)
        values = [message.value for batch in batches.values() for message in batch]
        if values:
            within(10, lambda: self.move(values, {tp: offset_and_metadata(batch[-1].offset + 1) for tp, batch in batches.items()}, commit))
        return values

    def move(self, values, offsets, commit):
        self.begin()
        self.send(self.target, values)
        self.producer.send_offsets_to_transaction(offsets, self.consumer.group_metadata())
        self.end(commit)

    def close(self):
        if self.consumer:
            self.consumer.close()
        self.producer.close(1)


class Transactions:
    """The adapter for ../python/transactions.py."""

    def __init__(self, broker):
        self.broker = broker

    def create(self, topic):
        create(self.broker, topic, 1)

    def send(self, topic, values):
        send(self.broker, topic, values)

    def producer(self, id):
        return Transactional(self.broker, id)

    def relay(self, id, source, target):
        return Transactional(self.broker, id, source, target)

    def read_committed(self, topic, count):
        c = KafkaConsumer(bootstrap_servers=self.broker, auto_offset_reset="earliest", isolation_level="read_committed",
                          consumer_timeout_ms=PATIENCE * 1000)
        c.assign([TopicPartition(topic, 0)])
        values = [next(c).value for _ in range(count)]
        c.close()
        return values


def relay(broker, name):
    return transactions.relay(Transactions(broker), name)


def features(broker, prefix):
    checks = {"create": feature_create, "auto-create": feature_auto_create, "resume": feature_resume,
              "seek-time": feature_seek_time, "group-eager": feature_group("eager")}
    checks.update({"produce-" + codec: feature_codec(codec) for codec in CODECS})
    bad = 0
    print("version", kafka.__version__)
    if MODERN:
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
        checks["idempotent"] = feature_idempotent
        for name, check in transactions.features(Transactions(broker), prefix).items():
            checks[name] = lambda *_, check=check: check()
        checks["group-cooperative"] = feature_group("cooperative", partition_assignment_strategy=[CooperativeStickyAssignor])
    else:
        print("skip group-cooperative: kafka-python 2 has eager assignors only")
        print("skip idempotent: kafka-python 2 has no idempotent producer")
        for name in transactions.features(None, prefix):
            print("skip %s: kafka-python 2 has no transactions" % name)
    for name, check in checks.items():
        try:
            check(broker, prefix)
            print("ok", name, flush=True)
        except Exception as error:  # every failure of a feature is a line
            bad = 1
            print("fail %s: %r" % (name, error), flush=True)
    return bad


def load(broker, topic):
    """One request at a time and no retry inside the client: what is printed was acknowledged once."""
    settings = {"enable_idempotence": True} if MODERN else {"retries": 0, "max_in_flight_requests_per_connection": 1}
    i, producer = 0, None
    while not select.select([sys.stdin], [], [], 0)[0]:
        try:
            producer = producer or KafkaProducer(bootstrap_servers=broker, acks="all", request_timeout_ms=5000, **settings)
            done = producer.send(topic, b"%d" % i).get(20)
            print("acked %d %d %d" % (i, done.partition, done.offset), flush=True)
        except Exception:  # the broker is down: what failed is simply not acknowledged
            if not MODERN and producer:
                producer.close(0)
                producer = None
            time.sleep(0.1)
        i += 1
    return 0


if __name__ == "__main__":
    verb, broker, name = sys.argv[1:4]
    sys.exit({"features": features, "load": load, "relay": relay}[verb](broker, name))
