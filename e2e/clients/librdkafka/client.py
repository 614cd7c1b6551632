"""librdkafka through confluent-kafka: the verbs of ../README.md."""
import os
import select
import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition, KafkaError
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import transactions

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PATIENCE = 120  # seconds that any single step may take


def create(broker, topic, partitions):
    admin = AdminClient({"bootstrap.servers": broker})
    for future in admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)]).values():
        future.result(PATIENCE)


def send(broker, topic, values, **settings):
    """Produces values and returns [(partition, offset)] in their order."""
    acked, failed = {}, []

    def report(error, message):
        if error is not None:
            failed.append(error)
        else:
            acked[message.value()] = (message.partition(), message.offset())

    producer = Producer({"bootstrap.servers": broker, "acks": "all", **settings})
    for i, value in enumerate(values):
        producer.produce(topic, value, key=b"k%d" % i, on_delivery=report)
        producer.poll(0)
    if producer.flush(PATIENCE) or failed:
        raise RuntimeError("not delivered: %s" % failed[:3])
    return [acked[v] for v in values]


def consumer(broker, group, **settings):
    return Consumer({
        "bootstrap.servers": broker, "group.id": group, "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "session.timeout.ms": 6000, "heartbeat.interval.ms": 500, **settings})


def drain(consumers, want, partitions_each=None):
    """Polls all consumers until they have seen want values and, if asked, own that many partitions each."""
    seen, until = set(), time.time() + PATIENCE
    while time.time() < until:
        for c in consumers:
            message = c.poll(0.05)
            if message is None:
                continue
            if message.error():
                if message.error().code() not in (KafkaError._PARTITION_EOF,):
                    raise RuntimeError(str(message.error()))
                continue
            seen.add(message.value())
        if want <= seen and (partitions_each is None or [len(c.assignment()) for c in consumers] == partitions_each):
            return seen
    raise RuntimeError("saw %d of %d; assignments %s" % (len(seen & want), len(want), [len(c.assignment()) for c in consumers]))


def feature_create(broker, prefix):
    create(broker, prefix + "-create", 3)
    topics = AdminClient({"bootstrap.servers": broker}).list_topics(timeout=PATIENCE).topics
    if len(topics[prefix + "-create"].partitions) != 3:
        raise RuntimeError("wrong partition count")


def feature_codec(codec):
    def check(broker, prefix):
        topic = prefix + "-" + codec
        create(broker, topic, 1)
        values = [(b"%s %d " % (codec.encode(), i)) * 20 for i in range(200)]
        send(broker, topic, values, **{"compression.type": codec, "linger.ms": 20})
        c = consumer(broker, prefix + "-read-" + codec)
        c.assign([TopicPartition(topic, 0, 0)])
        got, until = [], time.time() + PATIENCE
        while len(got) < len(values) and time.time() < until:
            message = c.poll(0.2)
            if message is not None and message.error():
                raise RuntimeError(str(message.error()))
            if message is not None:
                got.append(message.value())
        c.close()
        if got != values:
            raise RuntimeError("read back %d of %d records, or others" % (len(got), len(values)))
    return check


def feature_group(strategy):
    def check(broker, prefix):
        topic, group = prefix + "-group-" + strategy, prefix + "-g-" + strategy
        create(broker, topic, 4)
        first = {b"first %d" % i for i in range(200)}
        send(broker, topic, sorted(first))
        make = lambda: consumer(broker, group, **{"partition.assignment.strategy": strategy})
        a, b = make(), make()
        a.subscribe([topic])
        b.subscribe([topic])
        drain([a, b], first, [2, 2])
        c = make()
        c.subscribe([topic])
        drain_until(lambda: sorted(len(x.assignment()) for x in (a, b, c)) == [1, 1, 2], [a, b, c])
        a.close()
        second = {b"second %d" % i for i in range(200)}
        send(broker, topic, sorted(second))
        drain([b, c], second, [2, 2])
        b.close()
        c.close()
    return check


def drain_until(done, consumers):
    until = time.time() + PATIENCE
    while time.time() < until:
        for c in consumers:
            c.poll(0.05)
        if done():
            return
    raise RuntimeError("assignments stayed at %s" % [len(c.assignment()) for c in consumers])


def feature_resume(broker, prefix):
    topic, group = prefix + "-resume", prefix + "-g-resume"
    create(broker, topic, 1)
    values = [b"%d" % i for i in range(100)]
    send(broker, topic, values)
    c = consumer(broker, group)
    c.subscribe([topic])
    count, until = 0, time.time() + PATIENCE
    while count < 40 and time.time() < until:
        message = c.poll(0.2)
        if message is not None and not message.error():
            count += 1
            c.commit(message, asynchronous=False)
    c.close()
    c = consumer(broker, group)
    c.subscribe([topic])
    until = time.time() + PATIENCE
    message = None
    while message is None and time.time() < until:
        message = c.poll(0.2)
    c.close()
    if message is None or message.offset() != 40:
        raise RuntimeError("came back at %s, not 40" % (message and message.offset()))


def feature_seek_time(broker, prefix):
    topic = prefix + "-time"
    create(broker, topic, 1)
    producer = Producer({"bootstrap.servers": broker})
    for i in range(10):
        producer.produce(topic, b"%d" % i, timestamp=1_700_000_000_000 + 1000 * i)
    producer.flush(PATIENCE)
    c = consumer(broker, prefix + "-g-time")
    [found] = c.offsets_for_times([TopicPartition(topic, 0, 1_700_000_004_500)], timeout=PATIENCE)
    [late] = c.offsets_for_times([TopicPartition(topic, 0, 1_800_000_000_000)], timeout=PATIENCE)
    low, high = c.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE)
    c.close()
    if found.offset != 5 or late.offset not in (-1, 10) or (low, high) != (0, 10):
        raise RuntimeError("found %d, late %d, watermarks %d..%d" % (found.offset, late.offset, low, high))


def feature_idempotent(broker, prefix):
    topic = prefix + "-idempotent"
    create(broker, topic, 1)
    at = send(broker, topic, [b"%d" % i for i in range(1000)], **{"enable.idempotence": True})
    if at != [(0, i) for i in range(1000)]:
        raise RuntimeError("offsets are not 0..999 in order")


class Transactional:
    """A transactional producer, and a consumer in a group where it relays."""

    def __init__(self, broker, id, source=None, target=None):
        self.target = target
        # With the default recovery strategy librdkafka 2.16 goes on asking the group's coordinator through a broker that it has forgotten.
        self.producer = Producer({"bootstrap.servers": broker, "transactional.id": id, "reconnect.backoff.max.ms": 500, "linger.ms": 0,
                                  "metadata.recovery.strategy": "none"})
        self.producer.init_transactions(PATIENCE)  # what an older one has left is decided before the group looks for its offsets
        self.consumer, self.revoked = None, False
        if source:
            self.consumer = consumer(broker, id, **{"isolation.level": "read_committed"})
            self.consumer.subscribe([source], on_revoke=self.revoke)

    def revoke(self, *_):
        self.revoked = True

    def begin(self):
        self.producer.begin_transaction()

    def send(self, topic, values):
        for value in values:
            self.producer.produce(topic, value)
        if self.producer.flush(PATIENCE):
            raise RuntimeError("not delivered")

    def end(self, commit):
        if commit:
            self.producer.commit_transaction(PATIENCE)
        else:
            self.producer.abort_transaction(PATIENCE)

    def next(self, commit):
        messages = self.consumer.consume(transactions.RELAY_MAX, 0.2)
        if self.revoked:
            raise RuntimeError("some of these may come again")
        for message in messages:
            if message.error():
                raise RuntimeError(str(message.error()))
        if messages:
            self.begin()
            self.send(self.target, [message.value() for message in messages])
            offsets, metadata = self.consumer.position(self.consumer.assignment()), self.consumer.consumer_group_metadata()
            self.producer.send_offsets_to_transaction(offsets, metadata, PATIENCE)
            self.end(commit)
        return [message.value() for message in messages]

    def close(self):
        if self.consumer:
            self.consumer.close()


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
        c = consumer(self.broker, topic, **{"isolation.level": "read_committed"})
        c.assign([TopicPartition(topic, 0, 0)])
        values = [message.value() for message in c.consume(count, PATIENCE)]
        c.close()
        return values


def relay(broker, name):
    return transactions.relay(Transactions(broker), name)


def features(broker, prefix):
    print("version %s (librdkafka %s)" % (confluent_kafka.__version__, confluent_kafka.libversion()[0]))
    checks = {"create": feature_create, "resume": feature_resume, "seek-time": feature_seek_time, "idempotent": feature_idempotent}
    checks.update({"produce-" + codec: feature_codec(codec) for codec in CODECS})
    checks.update({"group-eager": feature_group("range"), "group-cooperative": feature_group("cooperative-sticky")})
    for name, check in transactions.features(Transactions(broker), prefix).items():
        checks[name] = lambda *_, check=check: check()
    bad = 0
    for name, check in checks.items():
        try:
            check(broker, prefix)
            print("ok", name, flush=True)
        except Exception as error:  # every failure of a feature is a line
            bad = 1
            print("fail %s: %r" % (name, error), flush=True)
    return bad


def load(broker, topic):
    def report(error, message):
        if error is None:
            print("acked %s %d %d" % (message.value().decode(), message.partition(), message.offset()), flush=True)

    producer = Producer({"bootstrap.servers": broker, "enable.idempotence": True, "linger.ms": 1,
                         "message.timeout.ms": 120000, "reconnect.backoff.max.ms": 500})
    i = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        try:
            producer.produce(topic, b"%d" % i, on_delivery=report)
            i += 1
        except BufferError:
            pass
        producer.poll(0.0005)
    return 1 if producer.flush(60) else 0


if __name__ == "__main__":
    verb, broker, name = sys.argv[1:4]
    sys.exit({"features": features, "load": load, "relay": relay}[verb](broker, name))
