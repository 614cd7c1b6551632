package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill sets every field of a request to something, with lists of up to three elements.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" && name != "UnknownTags" {
				fill(r, v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%0*d", r.IntN(20), r.Uint32()))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> (64 - v.Type().Bits()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(uint64(r.Uint32()) >> (32 - v.Type().Bits()))
	}
}

// tagged gives a request and its nested structs tags that nobody knows.
func tagged(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "UnknownTags" {
				v.Field(i).Addr().Interface().(*kmsg.Tags).Set(99, []byte("xyz"))
				continue
			}
			tagged(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			tagged(v.Index(i))
		}
	}
}

// eachRequest calls do with filled requests of every kind and version that is served.
func eachRequest(seed uint64, do func(a *api, body []byte, req kmsg.Request)) {
	r := rand.New(rand.NewPCG(seed, 1))
	table := apiTable()
	for i := range table {
		a := &table[i]
		for version := a.min; version <= a.max; version++ {
			for n := range 20 {
				req := a.newRequest()
				fill(r, reflect.ValueOf(req).Elem())
				req.SetVersion(version)
				if n%2 == 0 {
					tagged(reflect.ValueOf(req).Elem())
				}
				do(a, req.AppendTo(nil), req)
			}
		}
	}
}

func TestScanWalksEveryRequestToItsEnd(t *testing.T) {
	eachRequest(1, func(a *api, body []byte, req kmsg.Request) {
		w := scanner{rest: body, version: req.GetVersion(), flexible: req.IsFlexible(), limit: 1 << 20}
		if err := w.request(a.shape); err != nil {
			t.Fatalf("%s version %d: %v", a.name, req.GetVersion(), err)
		}
		if len(w.rest) != 0 {
			t.Fatalf("%s version %d: %d of %d bytes left", a.name, req.GetVersion(), len(w.rest), len(body))
		}
	})
}

func TestScanRefusesEveryTruncatedRequest(t *testing.T) {
	eachRequest(2, func(a *api, body []byte, req kmsg.Request) {
		for end := range body {
			w := scanner{rest: body[:end], version: req.GetVersion(), flexible: req.IsFlexible(), limit: 1 << 20}
			err := w.request(a.shape)
			if !errors.Is(err, errTruncated) && !errors.Is(err, errCount) {
				t.Fatalf("%s version %d: %v for %d of %d bytes", a.name, req.GetVersion(), err, end, len(body))
			}
		}
	})
}

func TestCountsAreHeldAgainstWhatIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		version int16
		body    []byte
	}{
		"elements": {1, []byte{0, 0, 0, 9, 0, 0}},
		"tags":     {9, []byte{1, 0, 0, 0, 9, 0, 0}},
	} {
		w := scanner{rest: test.body, version: test.version, flexible: test.version >= 9, limit: 1 << 62}
		if err := w.request(requestShapes[int16(kmsg.Metadata)]); !errors.Is(err, errCount) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStringsAreNoLongerThanEveryVersionCanAnswer(t *testing.T) {
	for length, want := range map[int]error{stringBytesMax: nil, stringBytesMax + 1: errString} {
		r := offsetCommitRequest(nil, 8, strings.Repeat("g", length), "t", 0, 0)
		w := scanner{rest: r.AppendTo(nil), version: 8, flexible: true, limit: 1 << 20}
		if err := w.request(requestShapes[int16(kmsg.OffsetCommit)]); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", length, err, want)
		}
	}
}

func TestRealRequestsStayBelowTheirDecodedAllowance(t *testing.T) {
	topic := func(i int) string { return fmt.Sprintf("t%d", i) }
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.SetVersion(4)
	produce := kmsg.NewPtrProduceRequest()
	produce.SetVersion(9)
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.SetVersion(8)
	for i := range 10_000 {
		mt := kmsg.NewMetadataRequestTopic()
		mt.Topic = kmsg.StringPtr(topic(i))
		metadata.Topics = append(metadata.Topics, mt)
		pt := kmsg.NewProduceRequestTopic()
		pt.Topic = topic(i)
		pt.Partitions = []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, 75)}}
		produce.Topics = append(produce.Topics, pt)
		ct := kmsg.NewOffsetCommitRequestTopic()
		ct.Topic = topic(i)
		ct.Partitions = []kmsg.OffsetCommitRequestTopicPartition{{}}
		commit.Topics = append(commit.Topics, ct)
	}
	for _, req := range []kmsg.Request{metadata, produce, commit} {
		body := req.AppendTo(nil)
		allowance := decodedAllowance(prologue{key: req.Key(), size: int32(len(body))})
		w := scanner{rest: body, version: req.GetVersion(), flexible: req.IsFlexible(), limit: allowance}
		if err := w.request(requestShapes[req.Key()]); err != nil {
			t.Errorf("key %d: %v", req.Key(), err)
		}
	}
}

// hostileRequests are requests of size bytes that claim to hold as much as they can.
func hostileRequests(size int) map[string][]byte {
	count := func(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }
	padded := func(key kmsg.Key, version int16, body []byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(size))
		b = binary.BigEndian.AppendUint16(b, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = append(b, 0, 0, 0, 1, 0xff, 0xff) // correlation id, null client id
		b = append(b, body...)
		return append(b, make([]byte, size+4-len(b))...)
	}
	const left = 40 // bytes before the elements, at most
	produceHead := []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	return map[string][]byte{
		"metadata topics":      padded(kmsg.Metadata, 1, count(nil, size-left)),
		"create topics":        padded(kmsg.CreateTopics, 4, count(nil, size-left)),
		"produce topics":       padded(kmsg.Produce, 3, count(produceHead, size-left)),
		"produce partitions":   padded(kmsg.Produce, 3, count(append(count(produceHead, 1), 0, 1, 'a'), size-left)),
		"more than there is":   padded(kmsg.Metadata, 1, count(nil, 1<<31-1)),
		"four billion tags":    padded(kmsg.Metadata, 9, []byte{0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}),
		"tags in the header":   padded(kmsg.Metadata, 9, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}),
		"as many tags as fit":  padded(kmsg.Metadata, 9, binary.AppendUvarint([]byte{0, 1, 0, 0, 0}, uint64(size-left)/2)),
		"group protocols":      padded(kmsg.JoinGroup, 1, count(append(make([]byte, 12), 0, 0, 0, 0), size-left)),
		"long client id":       append([]byte{0, 0, 0, 12, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff}, 0, 0),
		"string longer than":   padded(kmsg.FindCoordinator, 0, []byte{0x7f, 0xff})[:20],
		"topic name too long":  padded(kmsg.Metadata, 1, []byte{0, 0, 0, 1, 0x7f, 0xff})[:30],
		"compact string wraps": padded(kmsg.Metadata, 9, []byte{0, 2, 0xff, 0xff, 0xff, 0xff, 0x0f}),
	}
}

func TestHostileCountsAllocateNothing(t *testing.T) {
	const size = 1 << 20
	b := startBroker(t, Options{Logger: testLogger()}, nil)
	other := dial(t, b)
	other.expectServed()
	for name, bytes := range hostileRequests(size) {
		t.Run(name, func(t *testing.T) {
			// The frame itself is the test's and, once, the broker's. Its size field may promise more than is there.
			binary.BigEndian.PutUint32(bytes, uint32(len(bytes)-4))
			c := dial(t, b)
			c.expectServed()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			started := time.Now()
			if _, err := c.conn.Write(bytes); err != nil {
				t.Log(err) // the broker may have closed it already
			}
			c.expectClosed()
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4*size {
				t.Errorf("%d bytes allocated for a request of %d", allocated, len(bytes))
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	other.expectServed()
	if used := b.server.memory.used(); used != 0 {
		t.Errorf("%d bytes of the request memory are still taken", used)
	}
}
