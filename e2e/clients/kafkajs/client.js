'use strict';
// kafkajs, in JavaScript alone: the verbs of ../README.md.
const { Kafka, logLevel, CompressionTypes, CompressionCodecs } = require('kafkajs');
const snappy = require('kafkajs-snappy');
const lz4 = require('lz4js');
const { version } = require('kafkajs/package.json');

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

  return {
    version,
    skips: {
      'produce-zstd': 'kafkajs needs another package for it',
      'group-cooperative': 'kafkajs has eager assignors only',
    },
    create: (topic, numPartitions) => withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions }] })),
    offsetAt: (topic, timestampMs) => withAdmin(async (admin) => (await admin.fetchTopicOffsetsByTimestamp(topic, timestampMs))[0].offset),
    send, join, producer,
  };
}

require('../node/verbs.js')(open);
