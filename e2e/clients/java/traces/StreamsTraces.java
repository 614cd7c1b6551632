import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Properties;
import java.util.Random;
import java.util.function.Consumer;

import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.test.TestRecord;

/**
 * Writes down what Kafka Streams makes of random records: one file for each topology, with a line for each record in and each record out.
 *
 *   in  <topic> <timestamp> <key or -> <value or ->
 *   out <timestamp> <key>[@<start>/<end>] <value or ->
 *
 * It needs Kafka's jars (../pom.xml) and kafka-streams-test-utils of the same version, which Maven's dependency:get fetches:
 *
 *   java -cp "jars/*" StreamsTraces.java ../../../../streams/testdata/kafka
 */
public class StreamsTraces {
    static final int RECORDS = 250;

    public static void main(String[] args) throws IOException {
        Path directory = Path.of(args[0]);
        for (EmitStrategy emit : new EmitStrategy[] {EmitStrategy.onWindowUpdate(), EmitStrategy.onWindowClose()}) {
            String when = closes(emit) ? "-close.txt" : "-update.txt";
            write(directory.resolve("tumbling" + when), 1, 25, b -> windows(b, TimeWindows.ofSizeAndGrace(ms(10), ms(5)), emit));
            write(directory.resolve("tumbling-no-grace" + when), 2, 25, b -> windows(b, TimeWindows.ofSizeWithNoGrace(ms(10)), emit));
            write(directory.resolve("hopping" + when), 3, 25, b -> windows(b, TimeWindows.ofSizeAndGrace(ms(10), ms(3)).advanceBy(ms(4)), emit));
            write(directory.resolve("sessions" + when), 4, closes(emit) ? 4 : 25,
                b -> sessions(b, SessionWindows.ofInactivityGapAndGrace(ms(5), ms(4)), emit));
            write(directory.resolve("sessions-no-grace" + when), 5, closes(emit) ? 0 : 25,
                b -> sessions(b, SessionWindows.ofInactivityGapWithNoGrace(ms(5)), emit));
        }
        write(directory.resolve("count.txt"), 8, 25, b -> text(b.<String, String>stream("input").groupByKey().count()));
        write(directory.resolve("table.txt"), 9, 25, b -> b.<String, String>table("input").toStream().to("output"));
        write(directory.resolve("table-filter.txt"), 10, 25,
            b -> b.<String, String>table("input").filter((k, v) -> Integer.parseInt(v.substring(1)) % 2 == 0).toStream().to("output"));
        write(directory.resolve("table-groups.txt"), 11, 25,
            b -> text(b.<String, String>table("input").groupBy((k, v) -> KeyValue.pair(v.substring(v.length() - 1), v)).count()));
        write(directory.resolve("join.txt"), 6, 25, b -> join(b, false));
        write(directory.resolve("left-join.txt"), 7, 25, b -> join(b, true));
    }

    static Duration ms(long n) {
        return Duration.ofMillis(n);
    }

    static KGroupedStream<String, String> grouped(StreamsBuilder b) {
        return b.<String, String>stream("input").filter((k, v) -> v != null).groupByKey();
    }

    static boolean closes(EmitStrategy emit) {
        return emit.type() == EmitStrategy.StrategyType.ON_WINDOW_CLOSE;
    }

    static void windows(StreamsBuilder b, TimeWindows windows, EmitStrategy emit) {
        out(grouped(b).windowedBy(windows).emitStrategy(emit).count(kept(ms(100_000))));
    }

    static void sessions(StreamsBuilder b, SessionWindows windows, EmitStrategy emit) {
        Duration open = ms(windows.inactivityGap() + windows.gracePeriodMs() + 1);
        out(grouped(b).windowedBy(windows).emitStrategy(emit).count(kept(closes(emit) ? ms(100_000) : open)));
    }

    /**
     * By default, a store forgets windows a little too early: those that a jump of event time closes are gone before their results are sent,
     * and a session that is still open by one millisecond is not found. With more, sessions that are closed are found as well and grow
     * again: for results on close, the records are therefore late by the grace at most.
     */
    static <S extends StateStore> Materialized<String, Long, S> kept(Duration retention) {
        return Materialized.<String, Long, S>with(Serdes.String(), Serdes.Long()).withRetention(retention);
    }

    static void out(KTable<Windowed<String>, Long> counts) {
        counts.toStream((k, v) -> k.key() + "@" + k.window().start() + "/" + k.window().end())
            .mapValues(v -> v == null ? null : Long.toString(v))
            .to("output");
    }

    static void text(KTable<String, Long> counts) {
        counts.toStream().mapValues(n -> n == null ? null : Long.toString(n)).to("output");
    }

    static void join(StreamsBuilder b, boolean left) {
        KStream<String, String> input = b.stream("input");
        KTable<String, String> table = b.table("table");
        (left ? input.leftJoin(table, (v, t) -> v + "+" + t) : input.join(table, (v, t) -> v + "+" + t)).to("output");
    }

    static void write(Path file, long seed, int latest, Consumer<StreamsBuilder> topology) throws IOException {
        StreamsBuilder builder = new StreamsBuilder();
        topology.accept(builder);
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, "traces");
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "none:1");
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        config.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("traces").toString());
        config.put("__emit.interval.ms.kstreams.windowed.aggregation__", 0);
        boolean joins = file.getFileName().toString().contains("join");
        Random random = new Random(seed);
        try (TopologyTestDriver driver = new TopologyTestDriver(builder.build(), config, Instant.ofEpochMilli(0));
             PrintStream lines = new PrintStream(Files.newOutputStream(file), false, StandardCharsets.UTF_8)) {
            var input = driver.createInputTopic("input", new StringSerializer(), new StringSerializer());
            var table = joins ? driver.createInputTopic("table", new StringSerializer(), new StringSerializer()) : null;
            var output = driver.createOutputTopic("output", new StringDeserializer(), new StringDeserializer());
            long now = 0;
            for (int i = 0; i < RECORDS; i++) {
                boolean toTable = joins && random.nextInt(3) == 0;
                now += random.nextInt(20) == 0 ? random.nextInt(60) : random.nextInt(3);
                long at = Math.max(0, now - (random.nextInt(3) == 0 ? random.nextInt(latest + 1) : 0));
                String key = random.nextInt(25) == 0 && !toTable ? null : String.valueOf((char) ('a' + random.nextInt(4)));
                String value = random.nextInt(toTable ? 4 : 15) == 0 ? null : "v" + i;
                (toTable ? table : input).pipeInput(new TestRecord<>(key, value, Instant.ofEpochMilli(at)));
                lines.printf("in %s %d %s %s%n", toTable ? "table" : "input", at, text(key), text(value));
                for (TestRecord<String, String> r : output.readRecordsToList()) {
                    lines.printf("out %d %s %s%n", r.timestamp(), text(r.key()), text(r.value()));
                }
            }
        }
    }

    static String text(String s) {
        return s == null ? "-" : s;
    }
}
