import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.FeatureMetadata;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.QuorumInfo;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;

/** What operators do through the admin client, and find that it was done. */
final class Operations {
    private final Data data;
    private final Groups groups;
    private final Admin admin;

    Operations(Data data, Groups groups) {
        this.data = data;
        this.groups = groups;
        this.admin = data.admin;
    }

    Map<String, Client.Check> checks() {
        Map<String, Client.Check> checks = new LinkedHashMap<>();
        checks.put("describe-cluster", this::describeCluster);
        checks.put("describe-topics", this::describeTopics);
        checks.put("topic-configs", this::topicConfigs);
        checks.put("broker-configs", this::brokerConfigs);
        checks.put("quotas", this::quotas);
        checks.put("create-partitions", this::createPartitions);
        checks.put("delete-topics", this::deleteTopics);
        checks.put("list-offsets", this::listOffsets);
        checks.put("delete-records", this::deleteRecords);
        checks.put("describe-producers", this::describeProducers);
        checks.put("log-dirs", this::logDirs);
        checks.put("groups", this::groups);
        checks.put("group-offsets", this::groupOffsets);
        checks.put("feature-flags", this::featureFlags);
        checks.put("quorum", this::quorum);
        checks.put("list-transactions", () -> Data.equal(0, admin.listTransactions().all().get().size()));
        checks.put("list-reassignments", () -> Data.equal(0, admin.listPartitionReassignments().reassignments().get().size()));
        return checks;
    }

    private TopicPartition partition(String topic) {
        return new TopicPartition(data.name(topic), 0);
    }

    private void describeCluster() throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        Data.equal(22, cluster.clusterId().get().length());
        Data.equal(1, cluster.nodes().get().size());
        Data.equal(cluster.nodes().get().iterator().next(), cluster.controller().get());
        Data.equal(data.broker, cluster.controller().get().host() + ":" + cluster.controller().get().port());
    }

    private void describeTopics() throws Exception {
        data.make("described", 3, Map.of());
        TopicDescription byName = admin.describeTopics(List.of(data.name("described"))).allTopicNames().get().get(data.name("described"));
        Data.equal(3, byName.partitions().size());
        Data.equal(1, byName.partitions().get(2).isr().size());
        Data.equal(true, admin.listTopics().names().get().contains(data.name("described")));
        Data.equal(byName.topicId(), admin.listTopics().namesToListings().get().get(data.name("described")).topicId());
    }

    private String topicConfig(String topic, String name) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, data.name(topic));
        Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        return config.get(name).value() + " " + config.get(name).source();
    }

    private void topicConfigs() throws Exception {
        data.make("configs", 1, Map.of("retention.ms", "1234567"));
        Data.equal("1234567 DYNAMIC_TOPIC_CONFIG", topicConfig("configs", "retention.ms"));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, data.name("configs"));
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE),
            new AlterConfigOp(new ConfigEntry("segment.bytes", "1048576"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND)))).all().get();
        Data.equal("604800000 DEFAULT_CONFIG", topicConfig("configs", "retention.ms"));
        Data.equal("1048576 DYNAMIC_TOPIC_CONFIG", topicConfig("configs", "segment.bytes"));
        Data.equal("delete,compact DYNAMIC_TOPIC_CONFIG", topicConfig("configs", "cleanup.policy"));
    }

    private void brokerConfigs() throws Exception {
        int node = admin.describeCluster().controller().get().id();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(node));
        for (AlterConfigOp.OpType change : List.of(AlterConfigOp.OpType.SET, AlterConfigOp.OpType.DELETE)) {
            admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry("message.max.bytes", "2000000"), change)))).all().get();
            String value = admin.describeConfigs(List.of(resource)).all().get().get(resource).get("message.max.bytes").value();
            Data.equal(change == AlterConfigOp.OpType.SET, value.equals("2000000"));
        }
    }

    private void quotas() throws Exception {
        ClientQuotaEntity entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, data.name("quota")));
        admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1e9))))).all().get();
        Data.equal(Map.of("producer_byte_rate", 1e9), admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get().get(entity));
    }

    private void createPartitions() throws Exception {
        data.make("grown", 1, Map.of());
        admin.createPartitions(Map.of(data.name("grown"), NewPartitions.increaseTo(4))).all().get();
        Data.equal(4, admin.describeTopics(List.of(data.name("grown"))).allTopicNames().get().get(data.name("grown")).partitions().size());
    }

    private void deleteTopics() throws Exception {
        data.make("deleted", 1, Map.of());
        admin.deleteTopics(List.of(data.name("deleted"))).all().get();
        Data.equal(false, admin.listTopics().names().get().contains(data.name("deleted")));
    }

    private long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    private void listOffsets() throws Exception {
        data.make("offsets", 1, Map.of());
        data.send("offsets", Map.of(), Data.numbered("o", 10));
        Data.equal(0L, offset(partition("offsets"), OffsetSpec.earliest()));
        Data.equal(10L, offset(partition("offsets"), OffsetSpec.latest()));
        Data.equal(0L, offset(partition("offsets"), OffsetSpec.earliestLocal()));
        Data.equal(0L, offset(partition("offsets"), OffsetSpec.forTimestamp(1)));
        Data.equal(true, offset(partition("offsets"), OffsetSpec.maxTimestamp()) >= 0);
    }

    private void deleteRecords() throws Exception {
        data.make("trimmed", 1, Map.of());
        data.send("trimmed", Map.of(), Data.numbered("d", 10));
        TopicPartition partition = partition("trimmed");
        Data.equal(4L, admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(partition).get().lowWatermark());
        Data.equal(4L, offset(partition, OffsetSpec.earliest()));
        Data.equal("d 4", data.read("trimmed", 1).get(0).value());
    }

    private void describeProducers() throws Exception {
        data.make("producers", 1, Map.of());
        data.send("producers", Map.of(), Data.numbered("p", 10));
        List<ProducerState> active = admin.describeProducers(List.of(partition("producers"))).partitionResult(partition("producers")).get().activeProducers();
        Data.equal(1, active.size());
        Data.equal(9, active.get(0).lastSequence());
    }

    private void logDirs() throws Exception {
        data.make("sized", 1, Map.of());
        data.send("sized", Map.of(), Data.numbered("s", 10));
        int node = admin.describeCluster().controller().get().id();
        Map<String, LogDirDescription> dirs = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node);
        Data.equal(1, dirs.size());
        LogDirDescription dir = dirs.values().iterator().next();
        Data.equal(true, dir.replicaInfos().get(partition("sized")).size() > 0);
        Data.equal(true, dir.totalBytes().getAsLong() > dir.usableBytes().getAsLong());
    }

    private void groups() throws Exception {
        groups.resume("listed");
        String group = data.name("listed");
        List<GroupListing> listed = admin.listGroups(new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY))).all().get().stream()
            .filter(listing -> listing.groupId().equals(group)).toList();
        Data.equal(1, listed.size());
        Data.equal("consumer", listed.get(0).protocol());
        ConsumerGroupDescription description = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        Data.equal(GroupState.EMPTY, description.groupState());
        admin.deleteConsumerGroups(List.of(group)).all().get();
        Data.equal(false, admin.listGroups().all().get().stream().anyMatch(listing -> listing.groupId().equals(group)));
    }

    private void groupOffsets() throws Exception {
        groups.resume("kept");
        String group = data.name("kept");
        TopicPartition partition = partition("kept");
        OffsetAndMetadata committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(partition);
        Data.equal(50L, committed.offset());
        Data.equal("by hand", committed.metadata());
        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(7))).all().get();
        Data.equal(7L, admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(partition).offset());
        admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
        Data.equal(0, admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().size());
    }

    private void featureFlags() throws Exception {
        FeatureMetadata features = admin.describeFeatures().featureMetadata().get();
        Data.equal(true, features.supportedFeatures().containsKey("transaction.version"));
    }

    private void quorum() throws Exception {
        QuorumInfo quorum = admin.describeMetadataQuorum().quorumInfo().get();
        Data.equal(1, quorum.voters().size());
        Data.equal(admin.describeCluster().controller().get().id(), quorum.leaderId());
    }
}
