import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Records, to the broker and back. */
final class Data {
    static final Duration PATIENCE = Duration.ofMinutes(2); // for any single step

    private static final long START_MS = 1_700_000_000_000L;

    final String broker;
    final String prefix;
    final Admin admin;

    Data(String broker, String prefix) {
        this.broker = broker;
        this.prefix = prefix;
        this.admin = Admin.create(Map.of("bootstrap.servers", broker));
    }

    Map<String, Client.Check> checks() {
        Map<String, Client.Check> checks = new LinkedHashMap<>();
        checks.put("create", this::create);
        checks.put("auto-create", () -> equal(0L, send("auto", Map.of(), numbered("x", 1)).get(0).offset()));
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            checks.put("produce-" + codec, () -> roundTrip(codec));
        }
        checks.put("idempotent", this::idempotent);
        checks.put("headers", this::headers);
        checks.put("timestamps", this::timestamps);
        checks.put("seek-time", this::seekTime);
        checks.put("large-record", this::largeRecord);
        return checks;
    }

    static KafkaProducer<String, String> producer(String broker, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", broker, "acks", "all"));
        all.putAll(settings);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    KafkaConsumer<String, String> consumer(String group, Map<String, Object> settings) {
        Properties all = new Properties();
        all.putAll(Map.of("bootstrap.servers", broker, "enable.auto.commit", "false", "auto.offset.reset", "earliest"));
        if (group != null) {
            all.putAll(Map.of("group.id", name(group), "session.timeout.ms", "6000", "heartbeat.interval.ms", "500"));
        }
        all.putAll(settings);
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    String name(String what) {
        return prefix + "-" + what;
    }

    void make(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(name(topic), partitions, (short) 1).configs(configs))).all().get();
    }

    static List<String> numbered(String word, int count) {
        List<String> values = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            values.add(word + " " + i);
        }
        return values;
    }

    List<RecordMetadata> send(String topic, Map<String, Object> settings, List<String> values) throws Exception {
        List<ProducerRecord<String, String>> records = new ArrayList<>();
        for (String value : values) {
            records.add(new ProducerRecord<>(name(topic), value));
        }
        return sendRecords(settings, records);
    }

    List<RecordMetadata> sendRecords(Map<String, Object> settings, List<ProducerRecord<String, String>> records) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        List<RecordMetadata> at = new ArrayList<>();
        try (KafkaProducer<String, String> producer = producer(broker, settings)) {
            for (ProducerRecord<String, String> record : records) {
                sent.add(producer.send(record));
            }
            producer.flush();
            for (Future<RecordMetadata> future : sent) {
                at.add(future.get(PATIENCE.toSeconds(), TimeUnit.SECONDS));
            }
        }
        return at;
    }

    /** Reads count records of partition 0 from its start. */
    List<ConsumerRecord<String, String>> read(String topic, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        TopicPartition partition = new TopicPartition(name(topic), 0);
        try (KafkaConsumer<String, String> consumer = consumer(null, Map.of())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            await(count + " records", () -> {
                consumer.poll(Duration.ofMillis(200)).forEach(records::add);
                return records.size() >= count;
            });
        }
        return records;
    }

    static void await(String what, BooleanSupplier done) {
        long until = System.nanoTime() + PATIENCE.toNanos();
        while (!done.getAsBoolean()) {
            if (System.nanoTime() > until) {
                throw new AssertionError(what + " did not happen");
            }
        }
    }

    static void equal(Object want, Object got) {
        if (!want.equals(got)) {
            throw new AssertionError("got " + got + ", not " + want);
        }
    }

    private void create() throws Exception {
        make("create", 3, Map.of("retention.ms", "1234567"));
        equal(3, admin.describeTopics(List.of(name("create"))).allTopicNames().get().get(name("create")).partitions().size());
    }

    private void roundTrip(String codec) throws Exception {
        make(codec, 1, Map.of());
        List<String> values = numbered("a value that compresses well well well", 200);
        send(codec, Map.of("compression.type", codec, "linger.ms", "20"), values);
        equal(values, read(codec, values.size()).stream().map(ConsumerRecord::value).toList());
    }

    private void idempotent() throws Exception {
        make("idempotent", 1, Map.of());
        List<Long> want = new ArrayList<>(), got = new ArrayList<>();
        for (RecordMetadata at : send("idempotent", Map.of("enable.idempotence", "true"), numbered("i", 1000))) {
            want.add((long) want.size());
            got.add(at.offset());
        }
        equal(want, got);
    }

    private void headers() throws Exception {
        make("headers", 1, Map.of());
        ProducerRecord<String, String> record = new ProducerRecord<>(name("headers"), "key", null);
        record.headers().add("trace", "a".getBytes(StandardCharsets.UTF_8)).add("trace", null);
        sendRecords(Map.of(), List.of(record));
        equal(record.headers(), read("headers", 1).get(0).headers());
    }

    private void timestamps() throws Exception {
        make("created", 1, Map.of());
        make("appended", 1, Map.of("message.timestamp.type", "LogAppendTime"));
        for (String topic : List.of("created", "appended")) {
            sendRecords(Map.of(), List.of(new ProducerRecord<>(name(topic), 0, START_MS, "key", "value")));
        }
        ConsumerRecord<String, String> created = read("created", 1).get(0), appended = read("appended", 1).get(0);
        equal(START_MS, created.timestamp());
        equal(TimestampType.CREATE_TIME, created.timestampType());
        equal(TimestampType.LOG_APPEND_TIME, appended.timestampType());
        equal(true, appended.timestamp() > START_MS);
    }

    private void seekTime() throws Exception {
        make("time", 1, Map.of());
        List<ProducerRecord<String, String>> records = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            records.add(new ProducerRecord<>(name("time"), 0, START_MS + 1000L * i, null, "t" + i));
        }
        sendRecords(Map.of(), records);
        TopicPartition partition = new TopicPartition(name("time"), 0);
        try (KafkaConsumer<String, String> consumer = consumer(null, Map.of())) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, START_MS + 4500)).get(partition);
            equal(5L, found.offset());
            equal(START_MS + 5000, found.timestamp());
            equal(true, consumer.offsetsForTimes(Map.of(partition, START_MS + 10_000)).get(partition) == null);
            equal(0L, consumer.beginningOffsets(List.of(partition)).get(partition));
            equal(10L, consumer.endOffsets(List.of(partition)).get(partition));
        }
    }

    private void largeRecord() throws Exception {
        make("large", 1, Map.of("max.message.bytes", "10000000"));
        String value = "0123456789".repeat(900_000);
        send("large", Map.of("max.request.size", "10000000", "buffer.memory", "33554432"), List.of(value));
        equal(value, read("large", 1).get(0).value());
    }
}
