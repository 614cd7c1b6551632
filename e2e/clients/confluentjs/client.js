'use strict';
// librdkafka through @confluentinc/kafka-javascript: the verbs of ../README.md.
const { KafkaJS, librdkafkaVersion } = require('@confluentinc/kafka-javascript');
const { version } = require('@confluentinc/kafka-javascript/package.json');

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

  return {
    version: `${version} (librdkafka ${librdkafkaVersion})`,
    skips: {},
    create: (topic, numPartitions) => withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions }] })),
    offsetAt: (topic, timestampMs) => withAdmin(async (admin) => (await admin.fetchTopicOffsetsByTimestamp(topic, timestampMs))[0].offset),
    send, join, producer,
  };
}

require('../node/verbs.js')(open);
