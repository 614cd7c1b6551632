"""The transactions of ../README.md for a client in Python, given an adapter for it:

create(topic), send(topic, values)   a topic of one partition; plain records to it
producer(id)                         a transactional producer: begin(), send(topic, values), end(commit), close()
read_committed(topic, count)         the first values of partition 0 that are committed
relay(id, source, target)            consumes and produces: next(commit) moves some records in one transaction and returns their values,
                                     close(); behind an error or an abort there is only close
"""
import contextlib
import re
import sys
import threading
import time

RELAY_MAX = 10  # records in a transaction of a relay
PATIENCE = 120  # seconds that any single step may take


def numbered(word, count):
    return [b"%s %d" % (word, i) for i in range(count)]


KEPT = numbered(b"kept", 20)


def features(client, prefix):
    """The checks, by the names of their features."""
    return {
        "transactions": lambda: write_mixed(client, prefix + "-transactions"),
        "read-committed": lambda: committed(client, prefix + "-transactions", KEPT),
        "transactional-offsets": lambda: relay_twice(client, prefix + "-relay"),
        "fencing": lambda: fence(client, prefix + "-fencing"),
    }


def transact(producer, topic, values, commit):
    producer.begin()
    producer.send(topic, values)
    producer.end(commit)


def write_mixed(client, topic):
    """Commits a transaction, aborts one and commits another."""
    client.create(topic)
    producer = client.producer(topic)
    transact(producer, topic, KEPT[:10], True)
    transact(producer, topic, numbered(b"dropped", 10), False)
    transact(producer, topic, KEPT[10:], True)
    producer.close()


def committed(client, topic, want):
    got = client.read_committed(topic, len(want))
    if got != want:
        raise RuntimeError("committed is %s, not %s" % (got, want))


def relay_twice(client, topic):
    """A first relay commits a transaction and aborts one; the next begins behind what was committed."""
    values = numbered(b"r", 4 * RELAY_MAX)
    client.create(topic + "-from")
    client.create(topic + "-to")
    client.send(topic + "-from", values)
    first = relay_some(client, topic, 1, abort=True)
    relay_some(client, topic, len(values) - first, abort=False)
    committed(client, topic + "-to", values)


def relay_some(client, topic, count, abort):
    """A relay that commits until so many records are moved, and perhaps aborts one more transaction."""
    relay, moved, until = client.relay(topic, topic + "-from", topic + "-to"), 0, time.time() + PATIENCE
    try:
        while moved < count or abort:
            if time.time() > until:
                raise RuntimeError("moved %d of %d" % (moved, count))
            commit = moved < count
            values = relay.next(commit)
            if commit:
                moved += len(values)
            elif values:
                break
    finally:
        relay.close()
    return moved


def fence(client, topic):
    """Of two producers with one id the older is refused, and what it had sent is aborted."""
    client.create(topic)
    older = client.producer(topic)
    older.begin()
    older.send(topic, [b"old"])
    newer = client.producer(topic)
    transact(newer, topic, [b"new"], True)
    try:
        older.end(True)
        told = None
    except Exception as error:
        told = repr(error)
    if not re.search("(?i)fenced|epoch|newer producer", told or ""):
        raise RuntimeError("the older one was told %s" % told)
    newer.close()
    with contextlib.suppress(Exception):
        older.close()
    committed(client, topic, [b"new"])


def relay(client, name):
    """Moves records until standard input closes. After an error, whose outcome may be unknown, it begins anew."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        mover = None
        try:
            mover = client.relay(name, name + "-from", name + "-to")
            while not ended.is_set():
                values = mover.next(True)
                if values:
                    print("relayed", len(values), flush=True)
        except Exception as error:
            print("begins anew: %r" % error, file=sys.stderr, flush=True)
            time.sleep(0.1)
        if mover:
            with contextlib.suppress(Exception):
                mover.close()
    return 0
