package streams

import (
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Join puts to each record of a stream the value that a table has for its key when the record is processed; records whose key
// the table has not are no part of the result. Updates of the table alone give no result. Stream and table must be partitioned
// alike: topics of the same number of partitions, written by producers that choose partitions in the same way. The results have
// the stream's timestamps. Records of the stream without a key or a value are left out and counted as null_key and null_value.
func Join[K, V, T, R any](s Stream[K, V], table Table[K, T], join func(value V, row T) R) Stream[K, R] {
	return joinTable(s, table, false, func(value V, row T, _ bool) R { return join(value, row) }, argument{"join", join})
}

// LeftJoin is [Join] that keeps records whose key the table has not, and those without a key: their row is nil.
func LeftJoin[K, V, T, R any](s Stream[K, V], table Table[K, T], join func(value V, row *T) R) Stream[K, R] {
	return joinTable(s, table, true, func(value V, row T, found bool) R {
		if !found {
			return join(value, nil)
		}
		kept := row
		return join(value, &kept)
	}, argument{"join", join})
}

// joinTable looks rows up; left says that records without one are kept.
func joinTable[K, V, T, R any](s Stream[K, V], table Table[K, T], left bool, join func(value V, row T, found bool) R, given argument) Stream[K, R] {
	kind := "join"
	if left {
		kind = "left-join"
	}
	if s.port == nil && table.changes != nil {
		table.changes.topology.fail(table.changes.node.Name, "%s with a zero Stream: begin with From", kind)
		return Stream[K, R]{newPort[K, R](table.changes.topology, table.changes.node)}
	}
	topology := s.port.of()
	s.needKeysInPlace(kind, "call Repartition first")
	switch {
	case table.changes == nil:
		topology.fail(s.port.node.Name, "%s with a zero Table: begin with TableFrom, or with what puts records together", kind)
		return Stream[K, R]{newPort[K, R](topology, s.port.node)}
	case table.changes.topology != topology:
		topology.fail(s.port.node.Name, "it is joined with table %s of another topology: describe both in one", table.changes.node.Name)
		return Stream[K, R]{newPort[K, R](topology, s.port.node)}
	}
	joined := operator(s, graph.Node{Operator: kind, Stores: table.stores},
		func(b *build, node *engine.Node, next receive[K, R]) (receive[K, V], error) {
			look, err := table.lookup(b)
			return (&tableJoiner[K, V, T, R]{place{b.site, node}, left, look, join, next}).receive, err
		}, given)
	joined.port.node.Parents = append(joined.port.node.Parents, table.changes.node)
	return joined
}

// tableJoiner puts rows to the records of a stream.
type tableJoiner[K, V, T, R any] struct {
	place
	left bool // records without a row are kept
	look lookup[K, T]
	join func(value V, row T, found bool) R
	next receive[K, R]
}

func (j *tableJoiner[K, V, T, R]) receive(key K, value V, m *engine.Meta) error {
	m.Enter(j.node)
	if keyless := m.NoKey && j.left && !m.NoValue; !keyless && leftOut(j.node, m) {
		return nil
	}
	row, found, err := j.find(key, m)
	if err != nil {
		return j.failed(err, m)
	}
	if !found && !j.left {
		return nil
	}
	j.node.Emitted++
	return j.next(key, j.join(value, row, found), m)
}

func (j *tableJoiner[K, V, T, R]) find(key K, m *engine.Meta) (row T, found bool, err error) {
	if m.NoKey {
		return row, false, nil
	}
	return j.look(key)
}
