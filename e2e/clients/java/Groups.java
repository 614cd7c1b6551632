import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;

/** Consumers that share the partitions of a topic. */
final class Groups {
    private final Data data;

    Groups(Data data) {
        this.data = data;
    }

    Map<String, Client.Check> checks() {
        Map<String, Client.Check> checks = new LinkedHashMap<>();
        checks.put("group-eager", () -> rebalance("eager", RangeAssignor.class));
        checks.put("group-cooperative", () -> rebalance("cooperative", CooperativeStickyAssignor.class));
        checks.put("resume", () -> resume("resume"));
        return checks;
    }

    /** A consumer on a thread of its own. */
    private final class Member {
        private final Set<String> seen;
        private final KafkaConsumer<String, String> consumer;
        private final AtomicReference<Exception> failure = new AtomicReference<>();
        private final Thread thread = new Thread(this::run);
        private volatile int owned;

        Member(String topic, Class<?> assignor, Set<String> seen) {
            this.seen = seen;
            this.consumer = data.consumer(topic, Map.of("partition.assignment.strategy", assignor.getName()));
            consumer.subscribe(List.of(data.name(topic)));
            thread.start();
        }

        private void run() {
            try (consumer) {
                while (true) {
                    consumer.poll(Duration.ofMillis(100)).forEach(record -> seen.add(record.value()));
                    owned = consumer.assignment().size();
                }
            } catch (WakeupException end) {
                return;
            } catch (Exception e) {
                failure.set(e);
            }
        }

        void leave() throws Exception {
            consumer.wakeup();
            thread.join(Data.PATIENCE.toMillis());
            if (failure.get() != null) {
                throw failure.get();
            }
        }
    }

    /** Two members share four partitions, a third comes, one goes; every record is seen. */
    private void rebalance(String topic, Class<?> assignor) throws Exception {
        data.make(topic, 4, Map.of());
        Set<String> seen = ConcurrentHashMap.newKeySet();
        List<Member> members = new ArrayList<>();
        try {
            members.add(new Member(topic, assignor, seen));
            members.add(new Member(topic, assignor, seen));
            shared(members);
            produceAndSee(topic, "first", seen);
            members.add(new Member(topic, assignor, seen));
            shared(members);
            members.remove(0).leave();
            shared(members);
            produceAndSee(topic, "second", seen);
        } finally {
            for (Member member : members) {
                member.leave();
            }
        }
    }

    private static void shared(List<Member> members) {
        Data.await("sharing of four partitions by " + members.size(), () -> {
            pause();
            return members.stream().allMatch(m -> m.owned > 0) && members.stream().mapToInt(m -> m.owned).sum() == 4;
        });
    }

    private void produceAndSee(String topic, String word, Set<String> seen) throws Exception {
        List<String> values = Data.numbered(word, 200);
        data.send(topic, Map.of("batch.size", "0"), values);
        Data.await("seeing the " + word + " records", () -> {
            pause();
            return seen.containsAll(values);
        });
    }

    private static void pause() {
        try {
            Thread.sleep(20);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** A member stops after 40 of 100 records; the next one begins where it had committed. */
    void resume(String topic) throws Exception {
        data.make(topic, 1, Map.of());
        data.send(topic, Map.of(), Data.numbered("r", 100));
        Data.equal(0L, readAndCommit(topic, 40));
        Data.equal(40L, readAndCommit(topic, 10));
    }

    /** Consumes and commits count records in a group named as the topic, and returns the offset of the first. */
    private long readAndCommit(String topic, int count) {
        List<ConsumerRecord<String, String>> read = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = data.consumer(topic, Map.of("max.poll.records", "10"))) {
            consumer.subscribe(List.of(data.name(topic)));
            Data.await(count + " records in a group", () -> {
                consumer.poll(Duration.ofMillis(200)).forEach(read::add);
                return read.size() >= count;
            });
            ConsumerRecord<String, String> last = read.get(count - 1);
            TopicPartition partition = new TopicPartition(last.topic(), last.partition());
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(last.offset() + 1, "by hand")));
        }
        return read.get(0).offset();
    }
}
