//! Transactions: committed, aborted, fenced, and with the offsets of what was consumed.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::{equal, numbered, poll, until, value, Client, Outcome, PATIENCE};

const RELAY_MAX: usize = 10; // records in a transaction of a relay

type Transactional = ThreadedProducer<DefaultProducerContext>;

/// Notes that a member has lost partitions: what it has taken of them may come again.
struct Revoked(Arc<AtomicBool>);

impl ClientContext for Revoked {}

impl ConsumerContext for Revoked {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(_) = rebalance {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Moves records, with the offsets of what it has read in the transaction of what it has written.
struct Relay {
    to: String,
    producer: Transactional,
    consumer: BaseConsumer<Revoked>,
    revoked: Arc<AtomicBool>,
}

impl Client {
    fn transactional(&self, id: &str) -> Outcome<Transactional> {
        let producer: Transactional = self.open(&[("transactional.id", id), ("linger.ms", "0"), ("reconnect.backoff.max.ms", "500"), ("metadata.recovery.strategy", "none")])?;
        producer.init_transactions(PATIENCE)?;
        Ok(producer)
    }

    /// Commits a transaction, aborts one and commits another.
    pub fn write_mixed(&self, topic: &str) -> Outcome<()> {
        self.create(topic, 1)?;
        let producer = self.transactional(topic)?;
        let kept = numbered("kept", 20);
        transact(&producer, topic, &kept[..10], true)?;
        transact(&producer, topic, &numbered("dropped", 10), false)?;
        transact(&producer, topic, &kept[10..], true)
    }

    pub fn read_mixed(&self, topic: &str) -> Outcome<()> {
        self.committed(topic, &numbered("kept", 20))
    }

    fn committed(&self, topic: &str, want: &[String]) -> Outcome<()> {
        let consumer: BaseConsumer = self.open(&[("group.id", topic), ("isolation.level", "read_committed")])?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&partitions)?;
        let mut got = Vec::new();
        until("reading what is committed", || {
            got.extend(poll(&consumer)?.map(|(value, _)| value));
            Ok(got.len() >= want.len())
        })?;
        equal(want, &got[..])
    }

    /// A first relay commits a transaction and aborts one; the next begins behind what was committed.
    pub fn relay_twice(&self, topic: &str) -> Outcome<()> {
        let (from, to) = (format!("{topic}-from"), format!("{topic}-to"));
        self.create(&from, 1)?;
        self.create(&to, 1)?;
        let values = numbered("r", 4 * RELAY_MAX);
        self.send(&from, &[], &values, false)?;
        let (mut moved, mut aborted) = (0, 0);
        let first = Relay::open(self, topic, &from, &to)?;
        until("a transaction", || {
            moved += first.next(true)?;
            Ok(moved > 0)
        })?;
        until("an aborted transaction", || {
            aborted += first.next(false)?;
            Ok(aborted > 0)
        })?;
        drop(first);
        let second = Relay::open(self, topic, &from, &to)?;
        until("moving the rest", || {
            moved += second.next(true)?;
            Ok(moved >= values.len())
        })?;
        self.committed(&to, &values)
    }

    /// Of two producers with one id the older is refused, and what it had sent is aborted.
    pub fn fence(&self, topic: &str) -> Outcome<()> {
        self.create(topic, 1)?;
        let older = self.transactional(topic)?;
        older.begin_transaction()?;
        send(&older, topic, &["old".to_string()])?;
        let newer = self.transactional(topic)?;
        transact(&newer, topic, &["new".to_string()], true)?;
        match older.commit_transaction(PATIENCE) {
            Err(e) if e.to_string().contains("fenced") => {}
            told => return Err(format!("the older one was told {told:?}").into()),
        }
        self.committed(topic, &["new".to_string()])
    }

    /// Moves records until standard input closes. After an error, whose outcome may be unknown, it begins anew.
    pub fn relay(&self, name: &str) -> Outcome<()> {
        let ended = Arc::new(AtomicBool::new(false));
        let set = ended.clone();
        std::thread::spawn(move || {
            std::io::stdin().read_to_end(&mut Vec::new()).ok();
            set.store(true, Ordering::Relaxed);
        });
        let (from, to) = (format!("{name}-from"), format!("{name}-to"));
        while !ended.load(Ordering::Relaxed) {
            let moved = Relay::open(self, name, &from, &to).and_then(|relay| {
                while !ended.load(Ordering::Relaxed) {
                    let count = relay.next(true)?;
                    if count > 0 {
                        println!("relayed {count}");
                    }
                }
                Ok(())
            });
            if let Err(e) = moved {
                eprintln!("begins anew: {e}");
            }
        }
        Ok(())
    }
}

fn send(producer: &Transactional, topic: &str, values: &[String]) -> Outcome<()> {
    for value in values {
        producer.send(BaseRecord::<(), String>::to(topic).payload(value)).map_err(|(e, _)| e)?;
    }
    Ok(producer.flush(PATIENCE)?)
}

fn transact(producer: &Transactional, topic: &str, values: &[String], commit: bool) -> Outcome<()> {
    producer.begin_transaction()?;
    send(producer, topic, values)?;
    end(producer, commit)
}

fn end(producer: &Transactional, commit: bool) -> Outcome<()> {
    Ok(if commit { producer.commit_transaction(PATIENCE)? } else { producer.abort_transaction(PATIENCE)? })
}

impl Relay {
    fn open(client: &Client, id: &str, from: &str, to: &str) -> Outcome<Relay> {
        let producer = client.transactional(id)?; // what an older one has left is decided before the group looks for its offsets
        let revoked = Arc::new(AtomicBool::new(false));
        let consumer: BaseConsumer<Revoked> = ClientConfig::new()
            .set("bootstrap.servers", &client.broker)
            .set("group.id", id)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500")
            .create_with_context(Revoked(revoked.clone()))?;
        consumer.subscribe(&[from])?;
        Ok(Relay { to: to.to_string(), producer, consumer, revoked })
    }

    /// Moves some records in one transaction and returns their number; behind an error or an abort there is only drop.
    fn next(&self, commit: bool) -> Outcome<usize> {
        let (mut values, mut offsets) = (Vec::new(), TopicPartitionList::new());
        while values.len() < RELAY_MAX {
            let Some(message) = self.consumer.poll(Duration::from_millis(50)) else { break };
            let message = message?;
            values.push(value(&message));
            let (topic, partition, next) = (message.topic(), message.partition(), Offset::Offset(message.offset() + 1));
            if offsets.set_partition_offset(topic, partition, next).is_err() {
                offsets.add_partition_offset(topic, partition, next)?;
            }
        }
        if self.revoked.load(Ordering::Relaxed) {
            return Err("some of these may come again".into());
        }
        if values.is_empty() {
            return Ok(0);
        }
        self.producer.begin_transaction()?;
        send(&self.producer, &self.to, &values)?;
        let metadata = self.consumer.group_metadata().ok_or("no group")?;
        self.producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE)?;
        end(&self.producer, commit)?;
        Ok(values.len())
    }
}
