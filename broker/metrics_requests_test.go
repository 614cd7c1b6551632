package broker

import (
	"testing"
	"time"
)

func TestWaitsAreToldFromWork(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	const wait = 30 * time.Millisecond
	c := dial(t, b)
	c.ask(fetchRequest("t", 0, int32(wait.Milliseconds())))
	sums := map[string]float64{}
	for i, phase := range requestPhases {
		count, sum, _ := b.metrics.apis[fetchKey].durations[i].snapshot(inSeconds)
		if count != 1 {
			t.Errorf("%s was measured %d times", phase, count)
		}
		sums[phase] = sum
	}
	if sums["purgatory"] < wait.Seconds() || sums["total"] < sums["purgatory"] ||
		sums["local"] > sums["total"]-sums["purgatory"] {
		t.Errorf("a fetch that waited for %v: %v", wait, sums)
	}
	c.ask(produceRequest("t", -1, batchOf(t, "a")))
	_, waited, _ := b.metrics.apis[produceKey].durations[3].snapshot(inSeconds)
	_, total, _ := b.metrics.apis[produceKey].durations[0].snapshot(inSeconds)
	if waited > total {
		t.Errorf("a produce waited %v of %v", waited, total)
	}
}

func TestRequestsInFlightAreCounted(t *testing.T) {
	var g gate
	b := startBroker(t, Options{}, serveWith(produceKey, g.later))
	registry := registryOf(b)
	count := func(name, api string) float64 { return valueOf(t, registry, "millrace_"+name, "api", api) }
	createTopic(t, b, "t", 1)
	producer, consumer := dial(t, b), dial(t, b)
	producer.send(produceRequest("t", -1, nil))
	producer.send(produceRequest("t", -1, nil))
	consumer.send(fetchRequest("t", 0, 60_000))
	waitUntil(t, func() bool {
		return count("requests_in_flight", "Produce") == 2 && count("purgatory_requests", "Produce") == 2 &&
			count("requests_in_flight", "Fetch") == 1 && count("purgatory_requests", "Fetch") == 1
	})
	close(g.door(1))
	close(g.door(2))
	producer.receive()
	producer.receive()
	waitUntil(t, func() bool {
		return count("requests_in_flight", "Produce") == 0 && count("purgatory_requests", "Produce") == 0
	})
}

func TestRefusedBatchesAreCountedByReason(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topicWith(t, b, "t", 1, map[string]string{"max.message.bytes": "200"})
	c := dial(t, b)
	corrupt := batchOf(t, "a")
	corrupt[len(corrupt)-1] ^= 1
	c.ask(produceRequest("t", -1, corrupt))
	c.ask(produceRequest("t", -1, batchOf(t, string(make([]byte, 300)))))
	c.ask(produceRequest("t", -1, batchOf(t, "fine")))
	c.ask(produceRequest("no-such-topic", -1, batchOf(t, "a")))
	registry := registryOf(b)
	for _, known := range batchRejections {
		want := map[string]float64{"crc": 1, "size": 1}[known.reason]
		if got := valueOf(t, registry, "millrace_batches_rejected_total", "reason", known.reason); got != want {
			t.Errorf("%s: %v, want %v", known.reason, got, want)
		}
	}
}

func TestSizesOfRequestsAndAnswers(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	c.ask(produceRequest("t", -1, batchOf(t, string(make([]byte, 100_000)))))
	c.ask(fetchRequest("t", 0, 0))
	for key, want := range map[int16]struct{ request, response float64 }{produceKey: {request: 100_000}, fetchKey: {response: 100_000}} {
		am := b.metrics.apis[key]
		_, request, _ := am.requestBytes.snapshot(inBytes)
		_, response, _ := am.responseBytes.snapshot(inBytes)
		if request < want.request || request > want.request+1000 || response < want.response || response > want.response+1000 {
			t.Errorf("%s: request of %v bytes, answer of %v", am.name, request, response)
		}
	}
}
