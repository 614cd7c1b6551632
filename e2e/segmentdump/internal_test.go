package segmentdump

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKafkaReadsOurInternalTopics has a client create a topic and commit offsets in a group, and Kafka's tool decode what
// the broker wrote on account of it, by Kafka's own schemas.
func TestKafkaReadsOurInternalTopics(t *testing.T) {
	needTool(t)
	dir := t.TempDir()
	useBroker(t, dir)

	metadata := runTool(t, []string{filepath.Join(dir, "__cluster_metadata-0", "00000000000000000000.log")}, "--cluster-metadata-decoder")
	wantSound(t, metadata, `"type":"TOPIC_RECORD"`, `"name":"clicks"`, `"type":"PARTITION_RECORD"`, `"type":"CONFIG_RECORD"`,
		`"name":"retention.ms","value":"1234567"`, `"type":"PRODUCER_IDS_RECORD"`)
	offsets := runTool(t, files(t, dir, "__consumer_offsets-*", "*.log"), "--offsets-decoder")
	wantSound(t, offsets, `{"group":"readers","topic":"clicks","partition":0}`, `"offset":3`, `"protocolType":"consumer"`)
	clicks := runTool(t, files(t, dir, "clicks-0", "*.log"), "--print-data-log")
	wantSound(t, clicks, "payload: click-0", "payload: click-2", "producerId: 0 ")

	wantVerified(t, dir)
}

// wantVerified has our own check find nothing in any partition of a data directory.
func wantVerified(t *testing.T, dir string) {
	t.Helper()
	for _, partition := range files(t, dir, "*-*") {
		if _, findings, err := log.Verify(log.InspectOptions{FS: disk.OS(), Dir: partition}); err != nil || len(findings) > 0 {
			t.Errorf("%s: %v, %+v", partition, err, findings)
		}
	}
}

func wantSound(t *testing.T, out dumped, parts ...string) {
	t.Helper()
	complaints := out.complaints()
	for line := range strings.Lines(out.stdout) {
		if strings.Contains(line, "skipping") { // the decoder's word for a record that it cannot read
			complaints = append(complaints, strings.TrimSpace(line))
		}
	}
	if len(complaints) > 0 {
		t.Errorf("the tool complains:\n%s", strings.Join(complaints, "\n"))
	}
	for _, part := range parts {
		if !strings.Contains(out.stdout, part) {
			t.Errorf("no %s in\n%s", part, out.stdout)
		}
	}
}

// useBroker runs a broker on dir, and a client that creates, produces, consumes in a group and commits.
func useBroker(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := broker.New(broker.Options{DataDir: dir, Listen: "127.0.0.1:0", Config: map[string]string{"group.initial.rebalance.delay.ms": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr().String()), kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("clicks"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	retention := "1234567"
	created, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &retention}, "clicks")
	if err != nil || created.Err != nil {
		t.Fatalf("%v, %v", err, created.Err)
	}
	for i := range 3 {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: "clicks", Value: fmt.Appendf(nil, "click-%d", i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for read := 0; read < 3; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		read += fetches.NumRecords()
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
}
