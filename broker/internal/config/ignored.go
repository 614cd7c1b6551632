package config

import (
	"fmt"
	"slices"
	"strings"
)

// ignoredNames are Kafka's broker settings that millrace accepts and has no use for, so that a server.properties or
// a compose file made for Kafka starts. Sorted.
var ignoredNames = []string{
	"add.partitions.to.txn.retry.backoff.max.ms",
	"add.partitions.to.txn.retry.backoff.ms",
	"auto.leader.rebalance.enable",
	"background.threads",
	"broker.heartbeat.interval.ms",
	"broker.id.generation.enable",
	"broker.rack",
	"broker.session.timeout.ms",
	"config.providers",
	"connection.failed.authentication.delay.ms",
	"connections.max.reauth.ms",
	"control.plane.listener.name",
	"controlled.shutdown.enable",
	"controlled.shutdown.max.retries",
	"controlled.shutdown.retry.backoff.ms",
	"cordoned.log.dirs",
	"delete.records.purgatory.purge.interval.requests",
	"early.start.listeners",
	"eligible.leader.replicas.enable",
	"failed.authentication.delay.ms",
	"fetch.purgatory.purge.interval.requests",
	"follower.fetch.last.tiered.offset.enable",
	"initial.broker.registration.timeout.ms",
	"inter.broker.listener.name",
	"inter.broker.protocol.version",
	"leader.imbalance.check.interval.seconds",
	"leader.imbalance.per.broker.percentage",
	"log.cleaner.io.buffer.load.factor",
	"log.cleaner.io.buffer.size",
	"log.cleaner.threads",
	"log.dir",
	"log.dir.failure.timeout.ms",
	"log.dirs",
	"log.flush.offset.checkpoint.interval.ms",
	"log.flush.start.offset.checkpoint.interval.ms",
	"log.initial.task.delay.ms",
	"log.message.downconversion.enable",
	"log.message.format.version",
	"log.message.timestamp.difference.max.ms",
	"max.connection.creation.rate",
	"max.connections.per.ip.overrides",
	"max.request.partition.size.limit",
	"num.io.threads",
	"num.network.threads",
	"num.recovery.threads.per.data.dir",
	"num.replica.alter.log.dirs.threads",
	"num.replica.fetchers",
	"offsets.load.buffer.size",
	"offsets.topic.compression.codec",
	"offsets.topic.replication.factor",
	"process.roles",
	"producer.id.expiration.check.interval.ms",
	"producer.purgatory.purge.interval.requests",
	"queued.max.requests",
	"request.timeout.ms",
	"reserved.broker.max.id",
	"security.inter.broker.protocol",
	"server.max.startup.time.ms",
	"socket.connection.setup.timeout.max.ms",
	"socket.connection.setup.timeout.ms",
	"socket.listen.backlog.size",
	"socket.receive.buffer.bytes",
	"socket.send.buffer.bytes",
	"transaction.abort.timed.out.transaction.cleanup.interval.ms",
	"transaction.state.log.load.buffer.size",
	"transaction.state.log.min.isr",
	"transaction.state.log.replication.factor",
	"transaction.two.phase.commit.enable",
	"unclean.leader.election.interval.ms",
	"unstable.api.versions.enable",
	"unstable.feature.versions.enable",
}

// ignoredPrefixes are families of Kafka's settings without a use here.
var ignoredPrefixes = []string{
	"alter.log.dirs.replication.", "auto.include.jmx.", "client.quota.", "confluent.", "controller.", "delegation.token.",
	"group.consumer.", "group.coordinator.", "group.share.", "group.streams.", "internal.", "kafka.metrics.",
	"leader.replication.", "follower.replication.", "metadata.", "metric.", "metrics.", "password.encoder.",
	"quota.", "remote.", "replica.", "replication.quota.", "share.", "telemetry.", "zookeeper.",
}

// protectingPrefixes are families that protect a broker. To accept one and serve without it would leave open what
// its owner believes closed.
var protectingPrefixes = []string{
	"alter.config.policy.", "authorizer.", "create.topic.policy.", "listener.name.", "principal.", "sasl.",
	"security.providers", "ssl.", "super.users", "allow.everyone.",
}

// typoMax is how many letters may be wrong in the name of a setting that is used, when it could also be one of a family
// without a use.
const typoMax = 2

// checkIgnored returns nil for a name that may be given without effect.
func checkIgnored(name string) error {
	hasPrefix := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	used := namesOf(brokerTable)
	switch {
	case slices.ContainsFunc(protectingPrefixes, hasPrefix):
		return fmt.Errorf("%s: not supported yet, and to start without it would leave the broker open", name)
	case slices.Contains(ignoredNames, name):
		return nil
	case slices.ContainsFunc(ignoredPrefixes, hasPrefix):
		if _, distance := nearest(name, used); distance > typoMax {
			return nil
		}
	}
	return fmt.Errorf("unknown setting %q%s", name, suggestion(name, append(used, ignoredNames...)))
}
