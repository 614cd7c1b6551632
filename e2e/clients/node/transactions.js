'use strict';
// The transactions of ../README.md for a client in Node, given an adapter for it, which has beside what ./verbs.js needs:
//   transactional(id)                 a transactional producer: {begin(), send(topic, values), end(commit), close()}
//   consume(group, topic, seen)       a consumer that calls seen(partition, message) for what is committed: {disconnect()}
//   relay(id, from, to)               consumes and produces: {next(commit), close()}; next moves some records in one transaction and
//                                     returns their values; behind an error or an abort there is only close

const relayMax = 10; // records in a transaction of a relay
const patienceMs = 120_000;

const numbered = (word, count) => Array.from({ length: count }, (_, i) => `${word} ${i}`);
const kept = numbered('kept', 20);

const checks = (client, prefix) => ({
  transactions: () => writeMixed(client, `${prefix}-transactions`),
  'read-committed': () => committed(client, `${prefix}-transactions`, kept),
  'transactional-offsets': () => relayTwice(client, `${prefix}-relay`),
  fencing: () => fence(client, `${prefix}-fencing`),
});

// readCommitted returns the first values of topic that are committed.
async function readCommitted(client, topic, count) {
  const values = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const consumer = await client.consume(`${topic}-committed`, topic, async (_, message) => {
    if (values.push(message.value.toString()) === count) done();
  });
  await all;
  await consumer.disconnect();
  return values.slice(0, count);
}

async function transact(producer, topic, values, commit) {
  await producer.begin();
  await producer.send(topic, values);
  await producer.end(commit);
}

// Commits a transaction, aborts one and commits another.
async function writeMixed(client, topic) {
  await client.create(topic, 1);
  const producer = await client.transactional(topic);
  await transact(producer, topic, kept.slice(0, 10), true);
  await transact(producer, topic, numbered('dropped', 10), false);
  await transact(producer, topic, kept.slice(10), true);
  await producer.close();
}

async function committed(client, topic, want) {
  const got = await readCommitted(client, topic, want.length);
  if (JSON.stringify(want) !== JSON.stringify(got)) throw new Error(`committed is ${got}, not ${want}`);
}

// A first relay commits a transaction and aborts one; the next begins behind what was committed.
async function relayTwice(client, topic) {
  const values = numbered('r', 4 * relayMax);
  await client.create(`${topic}-from`, 1);
  await client.create(`${topic}-to`, 1);
  await client.send(`${topic}-from`, 'none', values.map((value) => ({ value })));
  const first = await relaySome(client, topic, 1, true);
  await relaySome(client, topic, values.length - first, false);
  await committed(client, `${topic}-to`, values);
}

// A relay that commits until so many records are moved, and perhaps aborts one more transaction.
async function relaySome(client, topic, count, abort) {
  const relay = await client.relay(topic, `${topic}-from`, `${topic}-to`);
  let moved = 0;
  for (const end = Date.now() + patienceMs; moved < count || abort;) {
    if (Date.now() > end) throw new Error(`moved ${moved} of ${count}`);
    const commit = moved < count;
    const values = await relay.next(commit);
    if (commit) moved += values.length;
    else if (values.length > 0) break;
  }
  await relay.close();
  return moved;
}

// Of two producers with one id the older is refused, and what it had sent is aborted.
async function fence(client, topic) {
  await client.create(topic, 1);
  const older = await client.transactional(topic);
  await older.begin();
  await older.send(topic, ['old']);
  const newer = await client.transactional(topic);
  await transact(newer, topic, ['new'], true);
  const told = await older.end(true).then(() => 'nothing', (error) => `${error.type} ${error.message}`);
  if (!/fenced|epoch|newer producer/i.test(told)) throw new Error(`the older one was told ${told}`);
  await Promise.allSettled([older.close(), newer.close()]);
  await committed(client, topic, ['new']);
}

// Moves records until standard input closes. After an error, whose outcome may be unknown, it begins anew.
async function relay(client, name) {
  let ended = false;
  process.stdin.on('end', () => { ended = true; }).resume();
  while (!ended) {
    let mover;
    try {
      mover = await client.relay(name, `${name}-from`, `${name}-to`);
      while (!ended) {
        const values = await mover.next(true);
        if (values.length > 0) console.log('relayed', values.length);
      }
    } catch (error) {
      console.error(`begins anew: ${error.message}`);
    }
    await mover?.close().catch((error) => console.error(error.message));
  }
  return 0;
}

// A queue between a consumer that calls and a relay that takes. Who puts waits while it is full.
class Queue {
  #items = [];
  #changed = [];

  #change() {
    this.#changed.splice(0).forEach((wake) => wake());
  }

  #wait(ms) {
    return new Promise((done) => {
      this.#changed.push(done);
      if (ms) setTimeout(done, ms).unref();
    });
  }

  async put(item) {
    while (this.#items.length >= relayMax && !this.closed) await this.#wait();
    this.#items.push(item);
    this.#change();
  }

  // What there is, if something comes within a moment.
  async take() {
    if (this.#items.length === 0) await this.#wait(200);
    const items = this.#items.splice(0, relayMax);
    this.#change();
    return items;
  }

  close() {
    this.closed = true;
    this.#change();
  }
}

module.exports = { checks, relay, Queue };
