import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.UnsupportedVersionException;

/** What one broker cannot do is refused, at once and for the right reason. */
final class Refusals {
    private final Data data;
    private final Admin admin;

    Refusals(Data data) {
        this.data = data;
        this.admin = data.admin;
    }

    Map<String, Client.Check> checks() {
        Map<String, Client.Check> checks = new LinkedHashMap<>();
        TopicPartition partition = new TopicPartition(data.name("refused"), 0);
        checks.put("refuses-replication-factor-3", () -> refused(InvalidReplicationFactorException.class, "replication factor",
            () -> admin.createTopics(List.of(new NewTopic(data.name("three"), 1, (short) 3))).all().get()));
        checks.put("refuses-reassignment", () -> {
            data.make("refused", 1, Map.of());
            refused(InvalidReplicaAssignmentException.class, "2", () -> admin.alterPartitionReassignments(
                Map.of(partition, Optional.of(new NewPartitionReassignment(List.of(2))))).all().get());
        });
        checks.put("refuses-election", () -> refused(ElectionNotNeededException.class, "",
            () -> admin.electLeaders(ElectionType.PREFERRED, Set.of(partition)).partitions().get().get(partition).ifPresent(Refusals::raise)));
        checks.put("refuses-unregister", () -> refused(ApiException.class, "", () -> admin.unregisterBroker(2).all().get()));
        checks.put("refuses-acls", () -> refused(SecurityDisabledException.class, "uthorizer",
            () -> admin.describeAcls(AclBindingFilter.ANY).values().get()));
        checks.put("refuses-group-protocol-consumer", () -> refused(UnsupportedVersionException.class, "", this::newProtocol));
        return checks;
    }

    private static void refused(Class<? extends Throwable> want, String say, Client.Check check) throws Exception {
        Throwable got;
        try {
            check.run();
            throw new AssertionError("it was done");
        } catch (ExecutionException e) {
            got = e.getCause();
        } catch (ApiException e) {
            got = e;
        }
        System.err.println(got);
        if (!want.isInstance(got) || !String.valueOf(got.getMessage()).contains(say)) {
            throw new AssertionError("refused with " + got + ", not " + want.getSimpleName() + " that says \"" + say + "\"");
        }
    }

    private static void raise(Throwable e) {
        throw (ApiException) e;
    }

    private void newProtocol() {
        Map<String, Object> settings = Map.of("bootstrap.servers", data.broker, "group.id", data.name("new"), "group.protocol", "consumer",
            "key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer",
            "value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            consumer.subscribe(List.of(data.name("refused")));
            Data.await("refusal", () -> !consumer.poll(Duration.ofMillis(200)).isEmpty());
        }
    }
}
