'use strict';
// librdkafka through @confluentinc/kafka-javascript: the verbs of ../README.md.
const { KafkaJS, librdkafkaVersion } = require('@confluentinc/kafka-javascript');
const { version } = require('@confluentinc/kafka-javascript/package.json');
const { Queue } = require('../node/transactions.js');

function open(broker) {
  const kafka = new KafkaJS.Kafka({ 'bootstrap.servers': broker, 'reconnect.backoff.max.ms': 500, kafkaJS: { logLevel: KafkaJS.logLevel.NOTHING } });

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
    const open = kafka.producer({ 'linger.ms': 0, kafkaJS: { idempotent: true } });
    await open.connect();
    return {
      send: async (value) => {
        const [at] = await open.send({ topic, messages: [{ value, partition: 0 }] });
        return [at.partition, Number(at.baseOffset)];
      },
      close: () => open.disconnect(),
    };
  }

  async function send(topic, codec, messages) {
    const open = kafka.producer({ kafkaJS: { acks: -1, compression: codec } });
    await open.connect();
    await open.send({ topic, messages: messages.map((m) => ({ ...m })) }); // it makes buffers of the values that it is given
    await open.disconnect();
  }

  async function join(groupId, topic, assignor, seen) {
    const consumer = kafka.consumer({
      'partition.assignment.strategy': assignor === 'eager' ? 'range' : 'cooperative-sticky', 'fetch.wait.max.ms': 200,
      kafkaJS: { groupId, fromBeginning: true, autoCommit: false, sessionTimeout: 6000, heartbeatInterval: 500 },
    });
    let more = true;
    await consumer.connect();
    await consumer.subscribe({ topic });
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        if (!more) return;
        more = seen(message.value.toString(), message.offset);
        await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }]);
      },
    });
    return { owned: () => consumer.assignment().length, leave: () => consumer.disconnect() };
  }

  async function transactional(transactionalId) {
    const open = kafka.producer({ 'linger.ms': 0, 'metadata.recovery.strategy': 'none', kafkaJS: { transactionalId } });
    await open.connect(); // which fences older ones
    return {
      begin: () => open.transaction(),
      send: (topic, values) => open.send({ topic, messages: values.map((value) => ({ value, partition: 0 })) }),
      offsets: (consumer, topics) => open.sendOffsets({ consumer, topics }),
      end: (commit) => (commit ? open.commit() : open.abort()),
      close: () => open.disconnect(),
    };
  }

  // Calls seen for every committed record from the start, or from the offsets of the group.
  async function consume(groupId, topic, seen, revoked = () => {}) {
    const consumer = kafka.consumer({
      'fetch.wait.max.ms': 200,
      rebalance_cb: (error) => { if (error.code === KafkaJS.ErrorCodes.ERR__REVOKE_PARTITIONS) revoked(); },
      kafkaJS: { groupId, fromBeginning: true, autoCommit: false, sessionTimeout: 6000, heartbeatInterval: 500, readUncommitted: false },
    });
    await consumer.connect();
    await consumer.subscribe({ topic });
    await consumer.run({ eachMessage: ({ partition, message }) => seen(partition, message) });
    return consumer;
  }

  async function relay(id, from, to) {
    const producer = await transactional(id); // what an older one has left is decided before the group looks for its offsets
    const queue = new Queue();
    let revoked = false;
    const consumer = await consume(id, from, (partition, message) => queue.put({ partition, message }), () => { revoked = true; });
    return {
      next: async (commit) => {
        const taken = await queue.take();
        if (revoked) throw new Error('what is in the queue may come again');
        const values = taken.map(({ message }) => message.value.toString());
        if (taken.length === 0) return values;
        const next = new Map(taken.map(({ partition, message }) => [partition, String(Number(message.offset) + 1)]));
        await producer.begin();
        await producer.send(to, values);
        await producer.offsets(consumer, [{ topic: from, partitions: [...next].map(([partition, offset]) => ({ partition, offset })) }]);
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
    version: `${version} (librdkafka ${librdkafkaVersion})`,
    skips: {},
    create: (topic, numPartitions) => withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions }] })),
    offsetAt: (topic, timestampMs) => withAdmin(async (admin) => (await admin.fetchTopicOffsetsByTimestamp(topic, timestampMs))[0].offset),
    send, join, producer, transactional, consume, relay,
  };
}

require('../node/verbs.js')(open);
