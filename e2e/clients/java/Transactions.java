import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;

/** Transactions: committed, aborted, fenced, and with the offsets of what was consumed. */
final class Transactions {
    private static final int RELAY_MAX = 10; // records in a transaction of a relay
    private static final Map<String, Object> COMMITTED = Map.of("isolation.level", "read_committed");
    private static final List<String> KEPT = Data.numbered("kept", 20);

    private final Data data;

    Transactions(Data data) {
        this.data = data;
    }

    Map<String, Client.Check> checks() {
        Map<String, Client.Check> checks = new LinkedHashMap<>();
        checks.put("transactions", this::writeMixed);
        checks.put("read-committed", () -> committed("transactions", KEPT));
        checks.put("transactional-offsets", this::relayTwice);
        checks.put("fencing", this::fence);
        return checks;
    }

    private KafkaProducer<String, String> producer(String id) {
        KafkaProducer<String, String> producer = Data.producer(data.broker, Map.of("transactional.id", id, "reconnect.backoff.max.ms", "500"));
        producer.initTransactions();
        return producer;
    }

    private void send(KafkaProducer<String, String> producer, String topic, List<String> values) throws Exception {
        List<Future<?>> sent = new ArrayList<>();
        for (String value : values) {
            sent.add(producer.send(new ProducerRecord<>(data.name(topic), value)));
        }
        producer.flush();
        for (Future<?> future : sent) {
            future.get(Data.PATIENCE.toSeconds(), TimeUnit.SECONDS);
        }
    }

    private void transact(KafkaProducer<String, String> producer, String topic, List<String> values, boolean commit) throws Exception {
        producer.beginTransaction();
        send(producer, topic, values);
        end(producer, commit);
    }

    private static void end(KafkaProducer<String, String> producer, boolean commit) {
        if (commit) {
            producer.commitTransaction();
        } else {
            producer.abortTransaction();
        }
    }

    /** Commits a transaction, aborts one and commits another. */
    private void writeMixed() throws Exception {
        data.make("transactions", 1, Map.of());
        try (KafkaProducer<String, String> producer = producer(data.name("transactions"))) {
            transact(producer, "transactions", KEPT.subList(0, 10), true);
            transact(producer, "transactions", Data.numbered("dropped", 10), false);
            transact(producer, "transactions", KEPT.subList(10, 20), true);
        }
        Data.equal(30, data.read("transactions", 30).size()); // who reads all sees also what was aborted
    }

    /** Reads to the end that a reader of committed records is told. */
    private void committed(String topic, List<String> want) {
        List<String> got = new ArrayList<>();
        TopicPartition partition = new TopicPartition(data.name(topic), 0);
        try (KafkaConsumer<String, String> consumer = data.consumer(null, COMMITTED)) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            Data.await("the end", () -> {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> got.add(record.value()));
                return consumer.position(partition) >= end;
            });
        }
        Data.equal(want, got);
    }

    /** Moves records, with the offsets of what it has read in the transaction of what it has written. */
    private final class Relay implements AutoCloseable {
        private final String to;
        private final KafkaProducer<String, String> producer;
        private final KafkaConsumer<String, String> consumer;

        Relay(String id, String from, String to) {
            this.to = to;
            this.producer = producer(id); // what an older one has left is decided before the group looks for its offsets
            Map<String, Object> settings = new HashMap<>(COMMITTED);
            settings.putAll(Map.of("group.id", id, "max.poll.records", Integer.toString(RELAY_MAX)));
            this.consumer = data.consumer("", settings);
            consumer.subscribe(List.of(data.name(from)));
        }

        /** Moves some records in one transaction and returns their number; behind an error or an abort there is only close. */
        int next(boolean commit) throws Exception {
            ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
            if (records.isEmpty()) {
                return 0;
            }
            List<String> values = new ArrayList<>();
            records.forEach(record -> values.add(record.value()));
            producer.beginTransaction();
            send(producer, to, values);
            producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
            end(producer, commit);
            return values.size();
        }

        @Override
        public void close() {
            consumer.close();
            producer.close(Duration.ofSeconds(1));
        }
    }

    /** A first relay commits a transaction and aborts one; the next begins behind what was committed. */
    private void relayTwice() throws Exception {
        List<String> values = Data.numbered("r", 4 * RELAY_MAX);
        data.make("relay-from", 1, Map.of());
        data.make("relay-to", 1, Map.of());
        data.send("relay-from", Map.of(), values);
        int first = 0;
        try (Relay relay = new Relay(data.name("relay"), "relay-from", "relay-to")) {
            while (first == 0) {
                first = relay.next(true);
            }
            while (relay.next(false) == 0) {
                Thread.onSpinWait();
            }
        }
        try (Relay relay = new Relay(data.name("relay"), "relay-from", "relay-to")) {
            for (int moved = first; moved < values.size();) {
                moved += relay.next(true);
            }
        }
        committed("relay-to", values);
    }

    /** Of two producers with one id the older is refused, and what it had sent is aborted. */
    private void fence() throws Exception {
        data.make("fencing", 1, Map.of());
        try (KafkaProducer<String, String> older = producer(data.name("fencing"))) {
            older.beginTransaction();
            send(older, "fencing", List.of("old"));
            try (KafkaProducer<String, String> newer = producer(data.name("fencing"))) {
                transact(newer, "fencing", List.of("new"), true);
                older.commitTransaction();
                throw new AssertionError("the older one committed");
            } catch (ProducerFencedException | InvalidProducerEpochException fenced) {
                System.err.println(fenced);
            }
        }
        committed("fencing", List.of("new"));
    }

    /** Moves records until standard input closes. After an error, whose outcome may be unknown, it begins anew. */
    static int relay(String broker, String name) throws Exception {
        Transactions transactions = new Transactions(new Data(broker, name));
        while (!Client.Closed.standardInput()) {
            try (Relay relay = transactions.new Relay(name, "from", "to")) {
                while (!Client.Closed.standardInput()) {
                    int count = relay.next(true);
                    if (count > 0) {
                        System.out.println("relayed " + count);
                    }
                }
            } catch (KafkaException | ExecutionException e) {
                System.err.println("begins anew: " + e);
            }
        }
        return 0;
    }
}
