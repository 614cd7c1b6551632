package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A decoder that believes the counts in a request allocates for elements that are not there, and loops over tags
// that are not there. So a request is walked before it is decoded: the walk allocates nothing, checks each length and
// count against what is left, and says how much memory the decoded form takes.

var (
	errTruncated = errors.New("request ends early")
	errCount     = errors.New("count is larger than what is left of the request")
	errString    = errors.New("string is too long")
)

// shape is the layout of a request or of one element of an array in it.
type shape []field

// field is one field of a shape, in the versions [from, to].
type field struct {
	kind        fieldKind
	from, to    int16
	width       int   // fixed: bytes on the wire
	element     shape // array: of what; optional: the struct
	structs     bool  // array: its elements are structs, which end in tags
	decodedSize int64 // array: bytes of one decoded element, without what it points to
}

type fieldKind int8

const (
	fixedField fieldKind = iota
	stringField
	bytesField
	arrayField
	optionalField // a byte, negative for null, and a struct
)

const (
	lastVersion = 1<<15 - 1
	// stringBytesMax is what the strings of the older versions have room for. As with Kafka no other version may have
	// longer ones: what is stored of one would not fit into the answers of the older.
	stringBytesMax = math.MaxInt16
	// tagDecodedBytes is what one unknown tag takes: kmsg keeps them in a map of slices.
	tagDecodedBytes = 400
)

// parseShape reads a layout. A number is a field of so many bytes, s a string, b bytes, *x an array of x,
// [x y] an array of structs, (x y) a struct that may be null; @3 means from version 3 on, @0-7 in versions 0 to 7. Tags are implied.
// decoded is the struct that the request is decoded into; its slices are the arrays, in the same order.
func parseShape(text string, decoded reflect.Type) shape {
	tokens := strings.Fields(strings.NewReplacer("[", " [ ", "]", " ]", "(", " ( ", ")", " )").Replace(text))
	s, rest := parseFields(tokens, decoded)
	if len(rest) != 0 {
		panic(fmt.Sprintf("shape %q: %d tokens left", text, len(rest)))
	}
	return s
}

func parseFields(tokens []string, decoded reflect.Type) (s shape, rest []string) {
	slices := sliceFields(decoded)
	for len(tokens) > 0 {
		token := tokens[0]
		tokens = tokens[1:]
		if token[0] == ']' || token[0] == ')' {
			return s, append([]string{token}, tokens...)
		}
		f := field{to: lastVersion}
		switch {
		case token == "[":
			f.kind, f.structs = arrayField, true
			f.element, tokens = parseFields(tokens, slices[0])
			f.decodedSize = int64(slices[0].Size())
			slices = slices[1:]
			token, tokens = tokens[0], tokens[1:]
		case token == "(":
			f.kind = optionalField
			f.element, tokens = parseFields(tokens, reflect.TypeFor[struct{}]())
			token, tokens = tokens[0], tokens[1:]
		case token[0] == '*':
			f.kind = arrayField
			f.element, _ = parseFields([]string{token[1:2]}, reflect.TypeFor[struct{}]())
			if len(token) > 3 && token[1:3] == "16" {
				f.element[0].width = 16
			}
			f.decodedSize = int64(slices[0].Size())
			slices = slices[1:]
		case token[0] == 's':
			f.kind = stringField
		case token[0] == 'b':
			f.kind = bytesField
		default:
			f.width = number(strings.SplitN(token, "@", 2)[0])
		}
		if _, versions, ok := strings.Cut(token, "@"); ok {
			from, to, bounded := strings.Cut(versions, "-")
			f.from = int16(number(from))
			if bounded {
				f.to = int16(number(to))
			}
		}
		s = append(s, f)
	}
	return s, nil
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("shape: %v", err))
	}
	return n
}

// sliceFields are the element types of t's fields that are arrays on the wire.
func sliceFields(t reflect.Type) []reflect.Type {
	var elements []reflect.Type
	for i := range t.NumField() {
		f := t.Field(i).Type
		if f.Kind() == reflect.Slice && f.Elem().Kind() != reflect.Uint8 {
			elements = append(elements, f.Elem())
		}
	}
	return elements
}

// scanner walks one request.
type scanner struct {
	rest     []byte
	version  int16
	flexible bool
	decoded  int64 // bytes that the decoded form takes, so far
	limit    int64 // and may take
}

// request walks the body of a request. It fails as soon as the decoded form takes more than limit.
func (w *scanner) request(s shape) error {
	if err := w.fields(s); err != nil || !w.flexible {
		return err
	}
	return w.tags()
}

func (w *scanner) fields(s shape) error {
	for i := range s {
		f := &s[i]
		if w.version < f.from || w.version > f.to {
			continue
		}
		var err error
		switch f.kind {
		case fixedField:
			err = w.skip(f.width)
		case stringField:
			err = w.text()
		case bytesField:
			err = w.bytes()
		case arrayField:
			err = w.array(f)
		case optionalField:
			err = w.optional(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *scanner) array(f *field) error {
	count, err := w.length(4)
	if err != nil || count <= 0 {
		return err
	}
	if count > len(w.rest) {
		return fmt.Errorf("%w: %d elements in %d bytes", errCount, count, len(w.rest))
	}
	if err := w.charge(int64(count) * f.decodedSize); err != nil {
		return err
	}
	if !f.structs && len(f.element) == 1 && f.element[0].kind == fixedField {
		return w.skip(count * f.element[0].width)
	}
	for range count {
		if err := w.fields(f.element); err != nil {
			return err
		}
		if f.structs && w.flexible {
			if err := w.tags(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *scanner) optional(f *field) error {
	if len(w.rest) == 0 {
		return errTruncated
	}
	null := int8(w.rest[0]) == -1
	w.rest = w.rest[1:]
	if null {
		return nil
	}
	if err := w.fields(f.element); err != nil || !w.flexible {
		return err
	}
	return w.tags()
}

func (w *scanner) text() error {
	n, err := w.length(2)
	if err != nil || n <= 0 {
		return err
	}
	if n > stringBytesMax {
		return fmt.Errorf("%w: %d bytes", errString, n)
	}
	if err := w.charge(int64(n)); err != nil {
		return err
	}
	return w.skip(n)
}

// bytes are not charged: decoded, they are a view of the request.
func (w *scanner) bytes() error {
	n, err := w.length(4)
	if err != nil || n <= 0 {
		return err
	}
	return w.skip(n)
}

func (w *scanner) tags() error {
	count, err := w.uvarint()
	if err != nil {
		return err
	}
	if int64(count) > int64(len(w.rest)) {
		return fmt.Errorf("%w: %d tags in %d bytes", errCount, count, len(w.rest))
	}
	if err := w.charge(int64(count) * tagDecodedBytes); err != nil {
		return err
	}
	for range count {
		if _, err := w.uvarint(); err != nil {
			return err
		}
		size, err := w.uvarint()
		if err != nil {
			return err
		}
		if int64(size) > int64(len(w.rest)) {
			return errTruncated
		}
		w.rest = w.rest[size:]
	}
	return nil
}

// length reads the length of a string, of bytes or of an array: width bytes, or a varint one higher than the length
// in a flexible version. Negative means null.
func (w *scanner) length(width int) (int, error) {
	if w.flexible {
		n, err := w.uvarint()
		return int(n) - 1, err
	}
	if len(w.rest) < width {
		return 0, errTruncated
	}
	var n int
	if width == 2 {
		n = int(int16(binary.BigEndian.Uint16(w.rest)))
	} else {
		n = int(int32(binary.BigEndian.Uint32(w.rest)))
	}
	w.rest = w.rest[width:]
	return n, nil
}

func (w *scanner) uvarint() (uint32, error) {
	n, size := binary.Uvarint(w.rest)
	if size <= 0 || n > 1<<32-1 {
		return 0, errTruncated
	}
	w.rest = w.rest[size:]
	return uint32(n), nil
}

func (w *scanner) skip(n int) error {
	if n > len(w.rest) {
		return errTruncated
	}
	w.rest = w.rest[n:]
	return nil
}

func (w *scanner) charge(bytes int64) error {
	w.decoded += bytes
	if w.decoded > w.limit {
		return fmt.Errorf("decoded, the request is larger than %d bytes", w.limit)
	}
	return nil
}

// requestShapes are the layouts of the requests that the broker answers, by key.
var requestShapes = func() map[int16]shape {
	shapes := map[int16]shape{}
	for key, text := range map[kmsg.Key]string{
		kmsg.Produce:                      "s@3 2 4 [s@0-12 16@13 [4 b]]",
		kmsg.Fetch:                        "4@0-14 4 4 4@3 1@4 4@7 4@7 [s@0-12 16@13 [4 4@9 8 4@12 8@5 4]] [s@7-12 16@13 *4]@7 s@11",
		kmsg.ListOffsets:                  "4 1@2 [s [4 4@4 8 4@0-0]] 4@10",
		kmsg.Metadata:                     "[16@10 s] 1@4 1@8-10 1@8",
		kmsg.OffsetCommit:                 "s 4@1 s@1 s@7 8@2-4 [s@0-9 16@10 [4 8 8@1-1 4@6 s]]",
		kmsg.OffsetFetch:                  "s@0-7 [s *4]@0-7 [s s@9 4@9 [s@8-9 16@10 *4]]@8 1@7",
		kmsg.FindCoordinator:              "s@0-3 1@1 *s@4",
		kmsg.JoinGroup:                    "s 4 4@1 s s@5 s [s b] s@8",
		kmsg.Heartbeat:                    "s 4 s s@3",
		kmsg.LeaveGroup:                   "s s@0-2 [s s s@5]@3",
		kmsg.SyncGroup:                    "s 4 s s@3 s@5 s@5 [s b]",
		kmsg.DescribeGroups:               "*s 1@3",
		kmsg.ListGroups:                   "*s@4 *s@5",
		kmsg.ApiVersions:                  "s@3 s@3 s@5 4@5",
		kmsg.CreateTopics:                 "[s 4 2 [4 *4] [s s]] 4 1@1",
		kmsg.DeleteTopics:                 "*s@0-5 [s 16]@6 4",
		kmsg.DeleteRecords:                "[s [4 8]] 4",
		kmsg.InitProducerID:               "s 4 8@3 2@3",
		kmsg.OffsetForLeaderEpoch:         "4@3 [s [4 4@2 4]]",
		kmsg.AddPartitionsToTxn:           "s@0-3 8@0-3 2@0-3 [s *4]@0-3 [s 8 2 1 [s *4]]@4",
		kmsg.AddOffsetsToTxn:              "s 8 2 s",
		kmsg.EndTxn:                       "s 8 2 1",
		kmsg.WriteTxnMarkers:              "[8 2 1 [s *4] 4 1@2]",
		kmsg.TxnOffsetCommit:              "s s 8 2 4@3 s@3 s@3 [s@0-5 16@6 [4 8 4@2 s]]",
		kmsg.DescribeConfigs:              "[1 s *s] 1@1 1@3",
		kmsg.AlterConfigs:                 "[1 s [s s]] 1",
		kmsg.DescribeLogDirs:              "[s *4]",
		kmsg.CreatePartitions:             "[s 4 [*4]] 4 1",
		kmsg.DeleteGroups:                 "*s",
		kmsg.IncrementalAlterConfigs:      "[1 s [s 1 s]] 1",
		kmsg.OffsetDelete:                 "s [s [4]]",
		kmsg.DescribeCluster:              "1 1@1 1@2",
		kmsg.DescribeACLs:                 "1 s 1@1 s s 1 1",
		kmsg.CreateACLs:                   "[1 s 1@1 s s 1 1]",
		kmsg.DeleteACLs:                   "[1 s 1@1 s s 1 1]",
		kmsg.AlterReplicaLogDirs:          "[s [s *4]]",
		kmsg.ElectLeaders:                 "1@1 [s *4] 4",
		kmsg.AlterPartitionAssignments:    "4 1@1 [s [4 *4]]",
		kmsg.ListPartitionReassignments:   "4 [s *4]",
		kmsg.DescribeQuorum:               "[s [4]]",
		kmsg.UpdateFeatures:               "4 [s 2 1] 1@1",
		kmsg.DescribeProducers:            "[s *4]",
		kmsg.UnregisterBroker:             "4",
		kmsg.DescribeTransactions:         "*s",
		kmsg.ListTransactions:             "*s *8 8@1 s@2",
		kmsg.ListConfigResources:          "*1@1",
		kmsg.DescribeTopicPartitions:      "[s] 4 (s 4)",
		kmsg.DescribeClientQuotas:         "[s 1 s] 1",
		kmsg.AlterClientQuotas:            "[[s s] [s 8 1]] 1",
		kmsg.DescribeUserSCRAMCredentials: "[s]",
	} {
		decoded := reflect.TypeOf(kmsg.RequestForKey(int16(key))).Elem()
		shapes[int16(key)] = parseShape(text, decoded)
	}
	return shapes
}()
