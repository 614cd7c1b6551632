'use strict';
// The verbs of ../README.md for a client in Node, given an adapter for it:
//   version                                  what it is
//   skips                                    {feature: why} of what it does not have
//   create(topic, partitions)
//   send(topic, codec, records)              produces [{value, timestamp}] and returns where each went: [[partition, offset]]
//   offsetAt(topic, timestampMs)             the first offset of partition 0 at or after it
//   join(group, topic, assignor, seen)       a member that calls seen(value, offset), commits, and ends where seen returns false:
//                                            {owned(), leave()}
//   producer(topic)                          an open idempotent producer: {send(value) -> [partition, offset], close()}

const transactions = require('./transactions.js');

const patienceMs = 120_000; // that any single step may take
const startMs = 1_700_000_000_000;

async function features(client, prefix) {
  console.log('version', client.version);
  const checks = {
    create: () => client.create(`${prefix}-create`, 3),
    'group-eager': () => rebalance(client, `${prefix}-eager`, 'eager'),
    'group-cooperative': () => rebalance(client, `${prefix}-cooperative`, 'cooperative'),
    resume: () => resume(client, `${prefix}-resume`),
    'seek-time': () => seekTime(client, `${prefix}-time`),
    idempotent: () => idempotent(client, `${prefix}-idempotent`),
    ...transactions.checks(client, prefix),
  };
  for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    checks[`produce-${codec}`] = () => roundTrip(client, `${prefix}-${codec}`, codec);
  }
  let bad = 0;
  for (const [name, check] of Object.entries(checks)) {
    if (client.skips[name]) {
      console.log(`skip ${name}: ${client.skips[name]}`);
      continue;
    }
    try {
      await check();
      console.log('ok', name);
    } catch (error) {
      bad = 1;
      console.error(error);
      console.log(`fail ${name}: ${String(error.message).replaceAll('\n', ' ')}`);
    }
  }
  return bad;
}

const numbered = (word, count) => Array.from({ length: count }, (_, i) => ({ value: `${word} ${i}` }));

function equal(want, got) {
  if (JSON.stringify(want) !== JSON.stringify(got)) {
    throw new Error(`got ${JSON.stringify(got)?.slice(0, 300)}, not ${JSON.stringify(want).slice(0, 300)}`);
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, done) {
  const end = Date.now() + patienceMs;
  while (!done()) {
    if (Date.now() > end) throw new Error(`${what} did not happen`);
    await pause(50);
  }
}

async function roundTrip(client, topic, codec) {
  await client.create(topic, 1);
  const records = numbered('a value that compresses well well well well', 200);
  await client.send(topic, codec, records);
  const got = [];
  const member = await client.join(`${topic}-g`, topic, 'eager', (value) => got.push(value) < records.length);
  await until('reading back', () => got.length >= records.length);
  await member.leave();
  equal(records.map((r) => r.value), got.slice(0, records.length));
}

// Two members share four partitions, a third comes, one goes; every record is seen.
async function rebalance(client, topic, assignor) {
  await client.create(topic, 4);
  const seen = new Set(), members = [];
  const join = async () => members.push(await client.join(`${topic}-g`, topic, assignor, (value) => seen.add(value)));
  const shared = () => until(`sharing by ${members.length}`, () =>
    members.every((m) => m.owned() > 0) && members.reduce((sum, m) => sum + m.owned(), 0) === 4);
  const produceAndSee = async (word) => {
    const records = numbered(word, 200);
    await client.send(topic, 'none', records);
    await until(`seeing the ${word} records`, () => records.every((r) => seen.has(r.value)));
  };
  try {
    await Promise.all([join(), join()]);
    await shared();
    await produceAndSee('first');
    await join();
    await shared();
    await members.shift().leave();
    await shared();
    await produceAndSee('second');
  } finally {
    await Promise.all(members.map((m) => m.leave()));
  }
}

// A member stops after 40 of 100 records; the next one begins where it had committed.
async function resume(client, topic) {
  await client.create(topic, 1);
  await client.send(topic, 'none', numbered('r', 100));
  const firsts = [];
  for (const count of [40, 1]) {
    const offsets = [];
    const member = await client.join(`${topic}-g`, topic, 'eager', (_, offset) => offsets.push(Number(offset)) < count);
    await until('records', () => offsets.length >= count);
    await member.leave();
    firsts.push(offsets[0]);
  }
  equal([0, 40], firsts);
}

async function seekTime(client, topic) {
  await client.create(topic, 1);
  const records = numbered('t', 10);
  records.forEach((r, i) => { r.timestamp = String(startMs + 1000 * i); });
  await client.send(topic, 'none', records);
  equal(5, Number(await client.offsetAt(topic, startMs + 4500)));
}

async function idempotent(client, topic) {
  await client.create(topic, 1);
  const producer = await client.producer(topic);
  const at = [];
  for (let i = 0; i < 200; i++) at.push(await producer.send(`i ${i}`));
  await producer.close();
  equal(at.map((_, i) => [0, i]), at);
}

// One record at a time: what is printed was acknowledged.
async function load(client, topic) {
  let ended = false;
  process.stdin.on('end', () => { ended = true; }).resume();
  const producer = await client.producer(topic);
  for (let i = 0; !ended; i++) {
    try {
      const [partition, offset] = await producer.send(String(i));
      console.log('acked', i, partition, offset);
    } catch (error) { // what failed is simply not acknowledged
      console.error(`not acknowledged: ${error.message}`);
      await pause(100);
    }
  }
  await producer.close();
  return 0;
}

module.exports = async function main(open) {
  const [verb, broker, name] = process.argv.slice(2);
  process.exit(await { features, load, relay: transactions.relay }[verb](open(broker), name));
};
