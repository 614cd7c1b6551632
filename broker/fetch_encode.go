package broker

import (
	"encoding/binary"

	"github.com/millrace/millrace/broker/internal/fetchsession"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log"
)

// The body of a Fetch response, encoded by hand: the records of a partition are a range of a segment file, which
// never comes into memory.
//
//	throttle_time_ms int32, [7+] error_code int16, session_id int32
//	topics: [-12] name | [13+] topic_id uuid
//	  partitions: index int32, error_code int16, high_watermark int64, last_stable_offset int64,
//	    [5+] log_start_offset int64, aborted_transactions nullable (producer_id int64, first_offset int64),
//	    [11+] preferred_read_replica int32, records
//	    [12+] tag 0 diverging_epoch (epoch int32, end_offset int64)
//
// From version 12 on lengths are unsigned varints plus one, and every structure ends in tagged fields.

const (
	firstFetchVersionSessions = 7
	firstFetchVersionLogStart = 5
	firstFetchVersionReplica  = 11
	firstFetchVersionFlexible = 12

	noPreferredReplica = -1
	divergingEpochTag  = 0
	divergingEpochSize = 4 + 8 + 1 // with its own, empty, tags
)

// fetchAnswer is what a fetch tells its client. partitions, results and tell go by the same index.
type fetchAnswer struct {
	version    int16
	errorCode  int16
	sessionID  int32
	isolation  partition.Isolation
	partitions []fetchsession.Partition
	results    []fetchResult
	tell       []bool // false: the client knows
}

// fetchEncoder appends to bytes and notes where ranges of files belong between them.
type fetchEncoder struct {
	version  int16
	flexible bool
	bytes    []byte
	ranges   []rangeAt
}

// rangeAt is a range of a file that follows bytes[:at].
type rangeAt struct {
	at      int
	records *log.Range
}

const (
	fetchHeadSize      = 32 // more than the bytes around the partitions
	fetchPartitionSize = 80 // more than the bytes of a partition without its records
	fetchTopicSize     = 32 // more than the bytes of a topic without its name

	abortedSize = 8 + 8 + 1
)

// encodeFetch encodes a. The pieces own the ranges of a's results.
func encodeFetch(a *fetchAnswer) []piece {
	told, size := 0, fetchHeadSize
	for i := range a.results {
		if a.tell[i] {
			told++
			size += fetchPartitionSize + fetchTopicSize + len(a.partitions[i].Topic) + abortedSize*len(a.results[i].aborted)
		} else if a.results[i].records != nil {
			a.results[i].records.Release()
		}
	}
	e := fetchEncoder{
		version:  a.version,
		flexible: a.version >= firstFetchVersionFlexible,
		bytes:    make([]byte, 0, size),
		ranges:   make([]rangeAt, 0, told),
	}
	e.int32(0) // throttle time
	if a.version >= firstFetchVersionSessions {
		e.int16(a.errorCode)
		e.int32(a.sessionID)
	}
	e.topics(a)
	e.noTags()
	return e.pieces()
}

// topics appends the partitions that the client is told of. Neighbours of one topic share its name.
func (e *fetchEncoder) topics(a *fetchAnswer) {
	next := func(i int) int { // the first to tell of from i on
		for i < len(a.tell) && !a.tell[i] {
			i++
		}
		return i
	}
	sameTopic := func(i, j int) bool {
		return a.partitions[i].ID == a.partitions[j].ID && a.partitions[i].Topic == a.partitions[j].Topic
	}
	count := 0
	for i, last := next(0), -1; i < len(a.tell); i = next(i + 1) {
		if last < 0 || !sameTopic(last, i) {
			count++
		}
		last = i
	}
	e.length(count)
	for i := next(0); i < len(a.tell); {
		first, partitions := i, 0
		for i < len(a.tell) && sameTopic(first, i) {
			partitions++
			i = next(i + 1)
		}
		e.topic(&a.partitions[first])
		e.length(partitions)
		for j := first; partitions > 0; j = next(j + 1) {
			e.partition(a.partitions[j].Index, &a.results[j], a.isolation)
			partitions--
		}
		e.noTags()
	}
}

func (e *fetchEncoder) topic(p *fetchsession.Partition) {
	if e.version >= firstFetchVersionTopicIDs {
		e.bytes = append(e.bytes, p.ID[:]...)
		return
	}
	if e.flexible {
		e.length(len(p.Topic))
	} else {
		e.int16(int16(len(p.Topic)))
	}
	e.bytes = append(e.bytes, p.Topic...)
}

func (e *fetchEncoder) partition(index int32, result *fetchResult, isolation partition.Isolation) {
	offsets := result.offsets
	if result.err != nil {
		offsets = partition.Offsets{HighWatermark: -1, LastStable: -1, LogStart: -1}
	}
	e.int32(index)
	e.int16(errorCode(result.err))
	e.int64(offsets.HighWatermark)
	e.int64(offsets.LastStable)
	if e.version >= firstFetchVersionLogStart {
		e.int64(offsets.LogStart)
	}
	e.abortedTransactions(result, isolation)
	if e.version >= firstFetchVersionReplica {
		e.int32(noPreferredReplica)
	}
	if result.records == nil {
		e.length(0)
	} else {
		e.length(result.records.Size())
		e.ranges = append(e.ranges, rangeAt{at: len(e.bytes), records: result.records})
	}
	e.partitionTags(result.diverging)
}

// abortedTransactions appends those among the records, in the order of their first offsets, for those who read committed
// records, and null for all others.
func (e *fetchEncoder) abortedTransactions(result *fetchResult, isolation partition.Isolation) {
	if isolation != partition.ReadCommitted {
		e.length(-1)
		return
	}
	e.length(len(result.aborted))
	for _, aborted := range result.aborted {
		e.int64(aborted.ProducerID)
		e.int64(aborted.FirstOffset)
		e.noTags()
	}
}

func (e *fetchEncoder) partitionTags(diverging *epochEnd) {
	if diverging == nil || !e.flexible {
		e.noTags()
		return
	}
	e.bytes = append(e.bytes, 1, divergingEpochTag, divergingEpochSize)
	e.int32(diverging.epoch)
	e.int64(diverging.endOffset)
	e.noTags()
}

// pieces cuts the bytes where the ranges belong.
func (e *fetchEncoder) pieces() []piece {
	pieces := make([]piece, 0, 2*len(e.ranges)+1)
	from := 0
	for _, r := range e.ranges {
		pieces = append(pieces, piece{bytes: e.bytes[from:r.at]}, piece{file: r.records})
		from = r.at
	}
	return append(pieces, piece{bytes: e.bytes[from:]})
}

func (e *fetchEncoder) int16(v int16) { e.bytes = binary.BigEndian.AppendUint16(e.bytes, uint16(v)) }
func (e *fetchEncoder) int32(v int32) { e.bytes = binary.BigEndian.AppendUint32(e.bytes, uint32(v)) }
func (e *fetchEncoder) int64(v int64) { e.bytes = binary.BigEndian.AppendUint64(e.bytes, uint64(v)) }

// length appends the length of an array, a string or bytes; -1 is null.
func (e *fetchEncoder) length(n int) {
	if e.flexible {
		e.bytes = binary.AppendUvarint(e.bytes, uint64(n+1))
	} else {
		e.int32(int32(n))
	}
}

// noTags ends a structure.
func (e *fetchEncoder) noTags() {
	if e.flexible {
		e.bytes = append(e.bytes, 0)
	}
}
