"""aiokafka, the client for asyncio: the verbs of ../README.md."""
import asyncio
import os
import sys

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import transactions

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PATIENCE = 120  # seconds that any single step may take


async def create(broker, topic, partitions):
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()


async def send(broker, topic, values, timestamps=None, **settings):
    """Produces values and returns [(partition, offset)] in their order."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", **settings)
    await producer.start()
    try:
        sent = [await producer.send(topic, value, timestamp_ms=timestamps and timestamps[i]) for i, value in enumerate(values)]
        done = await asyncio.wait_for(asyncio.gather(*sent), PATIENCE)
    finally:
        await producer.stop()
    return [(m.partition, m.offset) for m in done]


def consumer(broker, *topics, **settings):
    return AIOKafkaConsumer(*topics, bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False, **settings)


def member_of(broker, group, topic):
    return consumer(broker, topic, group_id=group, session_timeout_ms=6000, heartbeat_interval_ms=500)


class Member:
    """A group member that polls in a task of its own."""

    def __init__(self, broker, group, topic, seen):
        self.consumer, self.seen = member_of(broker, group, topic), seen
        self.task = asyncio.create_task(self.run())

    async def run(self):
        await self.consumer.start()
        try:
            async for message in self.consumer:
                self.seen.add(message.value)
        finally:
            await self.consumer.stop()

    def owned(self):
        return len(self.consumer.assignment())

    async def leave(self):
        self.task.cancel()
        await asyncio.wait([self.task])


async def wait(what, condition, members):
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                for m in members:
                    if m.task.done():
                        m.task.result()
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise RuntimeError("%s did not happen; members own %s" % (what, [m.owned() for m in members])) from None


async def feature_create(broker, prefix):
    await create(broker, prefix + "-create", 3)
    c = consumer(broker, prefix + "-create")
    await c.start()
    partitions = c.partitions_for_topic(prefix + "-create")
    await c.stop()
    if partitions != {0, 1, 2}:
        raise RuntimeError("wrong partitions: %s" % partitions)


async def feature_auto_create(broker, prefix):
    if (await send(broker, prefix + "-auto", [b"x"]))[0][1] != 0:
        raise RuntimeError("first offset is not 0")


def feature_codec(codec):
    async def check(broker, prefix):
        topic = prefix + "-" + codec
        await create(broker, topic, 1)
        values = [(b"%s %d " % (codec.encode(), i)) * 20 for i in range(200)]
        await send(broker, topic, values, compression_type=None if codec == "none" else codec, linger_ms=20)
        c = consumer(broker)
        await c.start()
        try:
            c.assign([TopicPartition(topic, 0)])
            async with asyncio.timeout(PATIENCE):
                got = [(await c.getone()).value for _ in values]
        finally:
            await c.stop()
        if got != values:
            raise RuntimeError("read back other records")
    return check


async def feature_group(broker, prefix):
    topic, group, seen = prefix + "-group", prefix + "-g", set()
    await create(broker, topic, 4)
    first, second = ([b"%s %d" % (word, i) for i in range(200)] for word in (b"first", b"second"))
    await send(broker, topic, first)
    members = [Member(broker, group, topic, seen), Member(broker, group, topic, seen)]
    try:
        await wait("2+2 and all records", lambda: seen.issuperset(first) and [m.owned() for m in members] == [2, 2], members)
        members.append(Member(broker, group, topic, seen))
        await wait("three share", lambda: sorted(m.owned() for m in members) == [1, 1, 2], members)
        await members.pop(0).leave()
        await send(broker, topic, second)
        await wait("the rest take over", lambda: seen.issuperset(second) and [m.owned() for m in members] == [2, 2], members)
    finally:
        for m in members:
            await m.leave()


async def feature_resume(broker, prefix):
    topic, group = prefix + "-resume", prefix + "-g-resume"
    await create(broker, topic, 1)
    await send(broker, topic, [b"%d" % i for i in range(100)])
    firsts = []
    for count in (40, 1):
        c = member_of(broker, group, topic)
        await c.start()
        async with asyncio.timeout(PATIENCE):
            read = [await c.getone() for _ in range(count)]
        await c.commit({TopicPartition(topic, 0): read[-1].offset + 1})
        await c.stop()
        firsts.append(read[0].offset)
    if firsts != [0, 40]:
        raise RuntimeError("began at %s, not at 0 and 40" % firsts)


async def feature_seek_time(broker, prefix):
    topic = prefix + "-time"
    await create(broker, topic, 1)
    await send(broker, topic, [b"%d" % i for i in range(10)], [1_700_000_000_000 + 1000 * i for i in range(10)])
    tp = TopicPartition(topic, 0)
    c = consumer(broker)
    await c.start()
    found = (await c.offsets_for_times({tp: 1_700_000_004_500}))[tp]
    late = (await c.offsets_for_times({tp: 1_800_000_000_000}))[tp]
    low, high = (await c.beginning_offsets([tp]))[tp], (await c.end_offsets([tp]))[tp]
    await c.stop()
    if found.offset != 5 or late is not None or (low, high) != (0, 10):
        raise RuntimeError("found %s, late %s, ends %s..%s" % (found, late, low, high))


async def feature_idempotent(broker, prefix):
    topic = prefix + "-idempotent"
    await create(broker, topic, 1)
    at = await send(broker, topic, [b"%d" % i for i in range(1000)], enable_idempotence=True)
    if at != [(0, i) for i in range(1000)]:
        raise RuntimeError("offsets are not 0..999 in order")


class Loop:
    """Awaits for a thread that is not the loop's."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()

    def __call__(self, coroutine):
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, PATIENCE), self.loop).result()


class Transactional:
    """A transactional producer, and a consumer in a group where it relays."""

    def __init__(self, wait, broker, id, source=None, target=None):
        self.wait, self.group, self.target, self.consumer = wait, id, target, None
        wait(self.start(broker, source))

    async def start(self, broker, source):
        # What an older one has left is decided before the group looks for its offsets.
        self.producer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=self.group, retry_backoff_ms=50)
        await self.producer.start()
        if source:
            self.consumer = consumer(broker, source, group_id=self.group, session_timeout_ms=6000, heartbeat_interval_ms=500,
                                     isolation_level="read_committed")
            await self.consumer.start()

    def begin(self):
        self.wait(self.producer.begin_transaction())

    def send(self, topic, values):
        self.wait(self.deliver(topic, values))

    async def deliver(self, topic, values):
        await asyncio.gather(*[await self.producer.send(topic, value) for value in values])

    def end(self, commit):
        self.wait(self.producer.commit_transaction() if commit else self.producer.abort_transaction())

    def next(self, commit):
        batches = self.wait(self.consumer.getmany(timeout_ms=200, max_records=transactions.RELAY_MAX))
        values = [message.value for batch in batches.values() for message in batch]
        if values:
            self.begin()
            self.send(self.target, values)
            self.wait(self.producer.send_offsets_to_transaction({tp: batch[-1].offset + 1 for tp, batch in batches.items()}, self.group))
            self.end(commit)
        return values

    def close(self):
        if self.consumer:
            self.wait(self.consumer.stop())
        self.wait(self.producer.stop())


class Transactions:
    """The adapter for ../python/transactions.py, which runs on a thread of its own."""

    def __init__(self, broker):
        self.wait, self.broker = Loop(), broker

    def create(self, topic):
        self.wait(create(self.broker, topic, 1))

    def send(self, topic, values):
        self.wait(send(self.broker, topic, values))

    def producer(self, id):
        return Transactional(self.wait, self.broker, id)

    def relay(self, id, source, target):
        return Transactional(self.wait, self.broker, id, source, target)

    def read_committed(self, topic, count):
        return self.wait(self.read(topic, count))

    async def read(self, topic, count):
        c = consumer(self.broker, isolation_level="read_committed")
        await c.start()
        c.assign([TopicPartition(topic, 0)])
        values = [(await c.getone()).value for _ in range(count)]
        await c.stop()
        return values


async def relay(broker, name):
    return await asyncio.to_thread(transactions.relay, Transactions(broker), name)


async def features(broker, prefix):
    print("version", aiokafka.__version__)
    checks = {"create": feature_create, "auto-create": feature_auto_create, "resume": feature_resume,
              "seek-time": feature_seek_time, "idempotent": feature_idempotent, "group-eager": feature_group}
    checks.update({"produce-" + codec: feature_codec(codec) for codec in CODECS})
    for name, check in transactions.features(Transactions(broker), prefix).items():
        checks[name] = lambda *_, check=check: asyncio.to_thread(check)
    print("skip group-cooperative: aiokafka has eager assignors only")
    bad = 0
    for name, check in checks.items():
        try:
            await check(broker, prefix)
            print("ok", name, flush=True)
        except Exception as error:  # every failure of a feature is a line
            bad = 1
            print("fail %s: %r" % (name, error), flush=True)
    return bad


async def load(broker, topic):
    """One record at a time: what is printed was acknowledged."""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, request_timeout_ms=120000, retry_backoff_ms=50)
    await producer.start()
    i = 0
    while not ended.done():
        done = await producer.send_and_wait(topic, b"%d" % i)
        print("acked %d %d %d" % (i, done.partition, done.offset), flush=True)
        i += 1
    await producer.stop()
    return 0


if __name__ == "__main__":
    verb, broker, name = sys.argv[1:4]
    sys.exit(asyncio.run({"features": features, "load": load, "relay": relay}[verb](broker, name)))
