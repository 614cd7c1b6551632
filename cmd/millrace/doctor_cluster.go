package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const advertisedFix = "set advertised.listeners to an address that clients reach"

// examineCluster asks each of addresses what it tells clients, and tries that. options say how to connect.
func examineCluster(ctx context.Context, found *diagnosis, addresses []string, options []kgo.Opt) {
	clusterID := ""
	var tried []string
	for _, address := range addresses {
		answer, err := askMetadata(ctx, address, options)
		if err != nil {
			found.problem("broker", "start it with `millrace serve`, or name another with -b", "%s: %s", address, reason(err))
			continue
		}
		id := text(answer.ClusterID)
		if clusterID != "" && id != clusterID {
			found.problem("broker", "name brokers of one cluster with -b", "%s is of cluster %s, the others of %s", address, id, clusterID)
			continue
		}
		clusterID = id
		found.ok("broker", "%s answers, cluster %s with %s", address, id, plural(len(answer.Brokers), "broker"))
		tried = examineAdvertised(ctx, found, address, answer, options, tried)
		examinePartitions(found, answer)
	}
}

// askMetadata asks the broker at address, and no other, about the cluster.
func askMetadata(ctx context.Context, address string, options []kgo.Opt) (*kmsg.MetadataResponse, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.ClientID("millrace-doctor"), kgo.DialTimeout(reachMax), kgo.RequestRetries(0)},
		append(slices.Clip(options), kgo.SeedBrokers(address))...)...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := bounded(ctx)
	defer cancel()
	response, err := client.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
	if err != nil {
		return nil, err
	}
	return response.(*kmsg.MetadataResponse), nil
}

// examineAdvertised tries each address that the broker at bootstrap tells clients, but for those in tried, which it
// returns with the new ones.
func examineAdvertised(ctx context.Context, found *diagnosis, bootstrap string, answer *kmsg.MetadataResponse, options []kgo.Opt, tried []string) []string {
	for _, broker := range answer.Brokers {
		address := net.JoinHostPort(broker.Host, number(broker.Port))
		if slices.Contains(tried, address) {
			continue
		}
		tried = append(tried, address)
		tryAdvertised(ctx, found, bootstrap, answer, broker, options)
	}
	return tried
}

func tryAdvertised(ctx context.Context, found *diagnosis, bootstrap string, answer *kmsg.MetadataResponse, broker kmsg.MetadataResponseBroker, options []kgo.Opt) {
	address := net.JoinHostPort(broker.Host, number(broker.Port))
	who := fmt.Sprintf("broker %d tells clients %s", broker.NodeID, address)
	addresses, err := resolve(ctx, broker.Host)
	if err != nil {
		found.problem("advertised", advertisedFix, "%s, which does not resolve: %s", who, reason(err))
		return
	}
	switch {
	case slices.ContainsFunc(addresses, net.IP.IsUnspecified):
		found.problem("advertised", advertisedFix, "%s, which is no address to connect to", who)
		return
	case slices.ContainsFunc(addresses, net.IP.IsLoopback) && !isLoopback(ctx, bootstrap):
		found.problem("advertised", advertisedFix, "%s: on any other machine that is the machine itself", who)
		return
	}
	other, err := askMetadata(ctx, address, options)
	switch {
	case err != nil:
		found.problem("advertised", advertisedFix+", or open the port", "%s, which cannot be reached from here: %s", who, reason(err))
	case text(other.ClusterID) != text(answer.ClusterID):
		found.problem("advertised", advertisedFix, "%s, where cluster %s answers instead of %s", who, text(other.ClusterID), text(answer.ClusterID))
	default:
		found.ok("advertised", "%s, which answers", who)
	}
}

func resolve(ctx context.Context, host string) ([]net.IP, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var resolver net.Resolver
	addresses, err := resolver.LookupIPAddr(ctx, host)
	ips := make([]net.IP, len(addresses))
	for i, address := range addresses {
		ips[i] = address.IP
	}
	return ips, err
}

func isLoopback(ctx context.Context, address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ips, err := resolve(ctx, host)
	return err == nil && slices.ContainsFunc(ips, net.IP.IsLoopback)
}

// problemsMax bounds how many problems of partitions are listed.
const problemsMax = 5

// examinePartitions looks for partitions that clients cannot use.
func examinePartitions(found *diagnosis, answer *kmsg.MetadataResponse) {
	metadata := kadm.Metadata{Topics: kadm.TopicDetails{}}
	for _, broker := range answer.Brokers {
		metadata.Brokers = append(metadata.Brokers, kadm.BrokerDetail{NodeID: broker.NodeID})
	}
	count := 0
	for _, topic := range answer.Topics {
		detail := kadm.TopicDetail{Topic: text(topic.Topic), Partitions: kadm.PartitionDetails{}}
		for _, p := range topic.Partitions {
			count++
			detail.Partitions[p.Partition] = kadm.PartitionDetail{
				Topic: detail.Topic, Partition: p.Partition, Leader: p.Leader, Replicas: p.Replicas, ISR: p.ISR, OfflineReplicas: p.OfflineReplicas,
			}
		}
		metadata.Topics[detail.Topic] = detail
	}
	problems := clusterProblems(metadata)
	for i, problem := range problems {
		if i == problemsMax {
			found.problem("partitions", "see `millrace cluster health`", "and %d more", len(problems)-i)
			break
		}
		found.problem("partitions", "look into the log of the broker that leads it", "%s", problem)
	}
	if len(problems) == 0 {
		found.ok("partitions", "%s, all with a leader", plural(count, "partition"))
	}
}

// skewMax is how far two clocks may differ: the HTTP date has whole seconds.
const skewMax = 5 * time.Second

// httpAddress is the flag, or where millrace serves HTTP beside the broker at bootstrap.
func (f *doctorFlags) httpAddress(bootstrap string) string {
	if f.http != "" {
		return f.http
	}
	host, _, _ := net.SplitHostPort(bootstrap)
	_, port, _ := net.SplitHostPort(defaultHTTP)
	return net.JoinHostPort(host, port)
}

// examineHTTP looks at /readyz and at the broker's clock, which Kafka's protocol does not tell. asked says that the
// address was given: no answer is a problem then, and else another kind of broker.
func examineHTTP(ctx context.Context, found *diagnosis, address string, asked bool) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	ready, err := readiness(ctx, address)
	switch {
	case err != nil && !asked:
		found.unknown("ready", "%s; name the HTTP address with --http", oneLine(err))
		return
	case err != nil:
		found.problem("ready", "serve it with --http, or name the right address", "%s", oneLine(err))
		return
	}
	for _, problem := range ready.problems {
		found.problem("ready", "the broker's log says why", "%s", problem)
	}
	if len(ready.problems) == 0 {
		found.ok("ready", "%s/readyz says so", address)
	}
	if skew := ready.skew.Abs().Round(time.Second); skew > skewMax {
		found.problem("clock", "keep the clocks of both machines by NTP", "the broker's clock and this one differ by %v", skew)
	} else {
		found.ok("clock", "the broker's clock is this one's, to the second")
	}
}
