'use strict';
// kafkajs, in JavaScript alone: the verbs of ../README.md.
const { Kafka, logLevel, CompressionTypes, CompressionCodecs } = require('kafkajs');
const snappy = require('kafkajs-snappy');
const lz4 = require('lz4js');
const { version } = require('kafkajs/package.json');
const { Queue } = require('../node/transactions.js');

CompressionCodecs[CompressionTypes.Snappy] = snappy;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});
const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4 };

function open(broker) {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING, retry: { retries: 100, maxRetryTime: 500 } });

  async function withAdmin(use) {
    const admin = kafka.admin();
    await admin.connect();
    try {
      return await use(admin);
    } finally {
      await admin.disconnect();
    }
  }

  async function producer(topic) {
    const open = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
    await open.connect();
    return {
      send: async (value) => {
        const [at] = await open.send({ topic, acks: -1, messages: [{ value, partition: 0 }] });
        return [at.partition, Number(at.baseOffset)];
      },
      close: () => open.disconnect(),
    };
  }

  async function send(topic, codec, messages) {
    const open = kafka.producer();
    await open.connect();
    await open.send({ topic, acks: -1, compression: codecs[codec], messages });
    await open.disconnect();
  }

  async function join(groupId, topic, assignor, seen) {
    const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 10_000, maxWaitTimeInMs: 200 });
    let owned = 0, more = true;
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { owned = (payload.memberAssignment[topic] ?? []).length; });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        if (!more) return;
        more = seen(message.value.toString(), message.offset);
        await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }]);
      },
    });
    return { owned: () => owned, leave: () => consumer.disconnect() };
  }

  // A producer learns its id, and fences older ones, with its first transaction. So an empty one comes first.
  async function transactional(transactionalId) {
    const open = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
    await open.connect();
    let transaction = await open.transaction();
    await transaction.abort();
    return {
      begin: async () => { transaction = await open.transaction(); },
      send: (topic, values) => transaction.send({ topic, acks: -1, messages: values.map((value) => ({ value, partition: 0 })) }),
      offsets: (consumerGroupId, topics) => transaction.sendOffsets({ consumerGroupId, topics }),
      end: (commit) => (commit ? transaction.commit() : transaction.abort()),
      close: () => open.disconnect(),
    };
  }

  // Calls seen for every committed record from the start, or from the offsets of the group.
  async function consume(groupId, topic, seen) {
    const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500, maxWaitTimeInMs: 200, readUncommitted: false });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ autoCommit: false, eachMessage: ({ partition, message }) => seen(partition, message) });
    return consumer;
  }

  async function relay(id, from, to) {
    const producer = await transactional(id); // what an older one has left is decided before the group looks for its offsets
    const queue = new Queue();
    const consumer = await consume(id, from, (partition, message) => queue.put({ partition, message }));
    let rejoined = false;
    consumer.on(consumer.events.REBALANCING, () => { rejoined = true; });
    consumer.on(consumer.events.CRASH, () => { rejoined = true; });
    return {
      next: async (commit) => {
        const taken = await queue.take();
        if (rejoined) throw new Error('what is in the queue may come again');
        const values = taken.map(({ message }) => message.value.toString());
        if (taken.length === 0) return values;
        const next = new Map(taken.map(({ partition, message }) => [partition, String(Number(message.offset) + 1)]));
        await producer.begin();
        await producer.send(to, values);
        await producer.offsets(id, [{ topic: from, partitions: [...next].map(([partition, offset]) => ({ partition, offset })) }]);
        await producer.end(commit);
        return values;
      },
      close: async () => {
        queue.close();
        await Promise.allSettled([consumer.disconnect(), producer.close()]);
      },
    };
  }

  return {
    version,
    skips: {
      'produce-zstd': 'kafkajs needs another package for it',
      'group-cooperative': 'kafkajs has eager assignors only',
    },
    create: (topic, numPartitions) => withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions }] })),
    offsetAt: (topic, timestampMs) => withAdmin(async (admin) => (await admin.fetchTopicOffsetsByTimestamp(topic, timestampMs))[0].offset),
    send, join, producer, transactional, consume, relay,
  };
}

require('../node/verbs.js')(open);
