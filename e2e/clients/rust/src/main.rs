//! The rdkafka crate, on librdkafka: the verbs of ../README.md.

mod transactions;

use std::collections::HashSet;
use std::error::Error;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

type Outcome<T> = Result<T, Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_secs(120); // that any single step may take
const START_MS: i64 = 1_700_000_000_000;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let client = Client { broker: words[2].clone() };
    let failed = match words[1].as_str() {
        "load" => client.load(&words[3]).inspect_err(|e| eprintln!("{e}")).is_err(),
        "relay" => client.relay(&words[3]).inspect_err(|e| eprintln!("{e}")).is_err(),
        _ => client.features(&words[3]),
    };
    std::process::exit(failed.into());
}

struct Client {
    broker: String,
}

/// Tells of every record where it was acknowledged, if it was.
struct Tell<F>(F);

impl<F: Fn(&str, i32, i64) + Send + Sync> ClientContext for Tell<F> {}

impl<F: Fn(&str, i32, i64) + Send + Sync> ProducerContext for Tell<F> {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        match result {
            Ok(m) => (self.0)(&value(m), m.partition(), m.offset()),
            Err((e, _)) => eprintln!("not acknowledged: {e}"),
        }
    }
}

fn value<M: Message>(message: &M) -> String {
    String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned()
}

fn numbered(word: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{word} {i}")).collect()
}

fn equal<T: PartialEq + std::fmt::Debug>(want: T, got: T) -> Outcome<()> {
    if want == got {
        return Ok(());
    }
    Err(format!("got {got:?}, not {want:?}").chars().take(400).collect::<String>().into())
}

impl Client {
    fn features(&self, prefix: &str) -> bool {
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        println!("version 0.39.0 (librdkafka {librdkafka})");
        let topic = |name: &str| format!("{prefix}-{name}");
        let mut failed = false;
        let mut report = |name: &str, outcome: Outcome<()>| match outcome {
            Ok(()) => println!("ok {name}"),
            Err(e) => {
                failed = true;
                println!("fail {name}: {e}");
            }
        };
        report("create", self.create(&topic("create"), 3));
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            report(&format!("produce-{codec}"), self.round_trip(&topic(codec), codec));
        }
        report("idempotent", self.idempotent(&topic("idempotent")));
        report("seek-time", self.seek_time(&topic("time")));
        report("resume", self.resume(&topic("resume")));
        report("transactions", self.write_mixed(&topic("transactions")));
        report("read-committed", self.read_mixed(&topic("transactions")));
        report("transactional-offsets", self.relay_twice(&topic("relay")));
        report("fencing", self.fence(&topic("fencing")));
        report("group-eager", self.rebalance(&topic("eager"), "range"));
        report("group-cooperative", self.rebalance(&topic("cooperative"), "cooperative-sticky"));
        failed
    }

    fn open<T: FromClientConfig>(&self, settings: &[(&str, &str)]) -> Outcome<T> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        Ok(config.create()?)
    }

    fn create(&self, topic: &str, partitions: i32) -> Outcome<()> {
        let admin: AdminClient<_> = self.open(&[])?;
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        match block_on(admin.create_topics(&[new], &AdminOptions::new()))?.remove(0) {
            Ok(_) => Ok(()),
            Err((topic, code)) => Err(format!("{topic}: {code}").into()),
        }
    }

    /// Produces the values to partition 0 and returns how many were acknowledged at the offset that is their place.
    fn send(&self, topic: &str, settings: &[(&str, &str)], values: &[String], timed: bool) -> Outcome<usize> {
        let (acked, acks) = std::sync::mpsc::channel();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let tell = Tell(move |value: &str, _, offset| acked.send((value.to_string(), offset)).unwrap_or_default());
        let producer: ThreadedProducer<_> = config.create_with_context(tell)?;
        for (i, value) in values.iter().enumerate() {
            let mut record = BaseRecord::<(), String>::to(topic).payload(value).partition(0);
            if timed {
                record = record.timestamp(START_MS + 1000 * i as i64);
            }
            producer.send(record).map_err(|(e, _)| e)?;
        }
        producer.flush(PATIENCE)?;
        Ok(acks.try_iter().filter(|(value, offset)| values.get(*offset as usize) == Some(value)).count())
    }

    fn consumer(&self, group: &str, assignor: &str) -> Outcome<BaseConsumer> {
        self.open(&[
            ("group.id", group), ("auto.offset.reset", "earliest"), ("enable.auto.commit", "false"),
            ("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500"), ("partition.assignment.strategy", assignor),
        ])
    }

    fn round_trip(&self, topic: &str, codec: &str) -> Outcome<()> {
        self.create(topic, 1)?;
        let values = numbered("a value that compresses well well well well", 200);
        equal(200, self.send(topic, &[("compression.type", codec), ("linger.ms", "20")], &values, false)?)?;
        let consumer = self.consumer(topic, "range")?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&partitions)?;
        let mut got = Vec::new();
        until("reading back", || {
            got.extend(poll(&consumer)?.map(|(value, _)| value));
            Ok(got.len() >= values.len())
        })?;
        equal(values, got)
    }

    fn idempotent(&self, topic: &str) -> Outcome<()> {
        self.create(topic, 1)?;
        equal(1000, self.send(topic, &[("enable.idempotence", "true")], &numbered("i", 1000), false)?)
    }

    fn seek_time(&self, topic: &str) -> Outcome<()> {
        self.create(topic, 1)?;
        self.send(topic, &[], &numbered("t", 10), true)?;
        let consumer = self.consumer(topic, "range")?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(topic, 0, Offset::Offset(START_MS + 4500))?;
        let found = consumer.offsets_for_times(asked, PATIENCE)?;
        equal(Some(Offset::Offset(5)), found.find_partition(topic, 0).map(|p| p.offset()))?;
        equal((0, 10), consumer.fetch_watermarks(topic, 0, PATIENCE)?)
    }

    /// A member stops after 40 of 100 records; the next one begins where it had committed.
    fn resume(&self, topic: &str) -> Outcome<()> {
        self.create(topic, 1)?;
        self.send(topic, &[], &numbered("r", 100), false)?;
        let mut firsts = Vec::new();
        for count in [40, 1] {
            let consumer = self.consumer(topic, "range")?;
            consumer.subscribe(&[topic])?;
            let mut offsets = Vec::new();
            until("records", || {
                offsets.extend(poll(&consumer)?.map(|(_, offset)| offset));
                Ok(offsets.len() >= count)
            })?;
            let mut done = TopicPartitionList::new();
            done.add_partition_offset(topic, 0, Offset::Offset(offsets[count - 1] + 1))?;
            consumer.commit(&done, CommitMode::Sync)?;
            firsts.push(offsets[0]);
        }
        equal(vec![0, 40], firsts)
    }

    /// Two members share four partitions, a third comes, one goes; every record is seen.
    fn rebalance(&self, topic: &str, assignor: &str) -> Outcome<()> {
        self.create(topic, 4)?;
        let mut seen = HashSet::new();
        let mut members = Vec::new();
        let (first, second) = (numbered("first", 200), numbered("second", 200));
        for step in 0..4 {
            match step {
                0 => members.extend([self.consumer(topic, assignor)?, self.consumer(topic, assignor)?]),
                2 => members.push(self.consumer(topic, assignor)?),
                3 => drop(members.remove(0)),
                _ => {}
            }
            match step {
                1 => drop(self.send(topic, &[], &first, false)?),
                3 => drop(self.send(topic, &[], &second, false)?),
                _ => {}
            }
            for member in &members {
                if member.subscription()?.count() == 0 {
                    member.subscribe(&[topic])?;
                }
            }
            let wanted: &[String] = [&[][..], &first, &first, &second][step];
            until(&format!("step {step} of the rebalance"), || {
                let mut owned = Vec::new();
                for member in &members {
                    seen.extend(poll(member)?.map(|(value, _)| value));
                    owned.push(member.assignment()?.count());
                }
                Ok(!owned.contains(&0) && owned.iter().sum::<usize>() == 4 && wanted.iter().all(|v| seen.contains(v)))
            })?;
        }
        Ok(())
    }

    /// Many records are in flight; with idempotence none is lost or stored twice.
    fn load(&self, topic: &str) -> Outcome<()> {
        let ended = Arc::new(AtomicBool::new(false));
        let set = ended.clone();
        std::thread::spawn(move || {
            std::io::stdin().read_to_end(&mut Vec::new()).ok();
            set.store(true, Ordering::Relaxed);
        });
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker).set("enable.idempotence", "true").set("linger.ms", "1");
        config.set("message.timeout.ms", "120000").set("reconnect.backoff.max.ms", "500");
        let tell = Tell(|value: &str, partition, offset| println!("acked {value} {partition} {offset}"));
        let producer: ThreadedProducer<_> = config.create_with_context(tell)?;
        let mut i = 0;
        while !ended.load(Ordering::Relaxed) {
            match producer.send(BaseRecord::<(), String>::to(topic).payload(&i.to_string())) {
                Ok(()) => i += 1,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {}
                Err((e, _)) => return Err(e.into()),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(producer.flush(PATIENCE)?)
    }
}

/// The next record, as value and offset, if one comes soon.
fn poll(consumer: &BaseConsumer) -> Outcome<Option<(String, i64)>> {
    match consumer.poll(Duration::from_millis(20)) {
        Some(Ok(message)) => Ok(Some((value(&message), message.offset()))),
        Some(Err(e)) => Err(e.into()),
        None => Ok(None),
    }
}

fn until(what: &str, mut done: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
    let end = Instant::now() + PATIENCE;
    while !done()? {
        if Instant::now() > end {
            return Err(format!("{what} did not happen").into());
        }
    }
    Ok(())
}

/// Waits for a future on this thread, which spares an asynchronous runtime.
fn block_on<F: std::future::Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(done) => return done,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
