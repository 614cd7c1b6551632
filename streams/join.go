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
	return joinTable(s, table, "join", func(value V, row T, found bool) (joined R, wanted bool) {
		if !found {
			return joined, false
		}
		return join(value, row), true
	})
}

// LeftJoin is [Join] that keeps records whose key the table has not: their row is nil.
func LeftJoin[K, V, T, R any](s Stream[K, V], table Table[K, T], join func(value V, row *T) R) Stream[K, R] {
	return joinTable(s, table, "left-join", func(value V, row T, found bool) (joined R, wanted bool) {
		if !found {
			return join(value, nil), true
		}
		return join(value, &row), true
	})
}

func joinTable[K, V, T, R any](s Stream[K, V], table Table[K, T], kind string, join func(V, T, bool) (R, bool)) Stream[K, R] {
	topology := s.port.topology
	s.needKeysInPlace(kind, "call Repartition first")
	if table.changes.topology != topology {
		topology.fail(s.port.node.Name, "it is joined with table %s of another topology: describe both in one", table.changes.node.Name)
		return Stream[K, R]{newPort[K, R](topology, s.port.node)}
	}
	node := graph.Node{Operator: kind, Stores: table.stores}
	joined := operator(s, node, func(b *build, node *engine.Node, next receive[K, R]) (receive[K, V], error) {
		look, err := table.lookup(b)
		if err != nil {
			return nil, err
		}
		here := place{b.site, node}
		return func(key K, value V, m *engine.Meta) error {
			m.Enter(node)
			if leftOut(node, m) {
				return nil
			}
			row, found, err := look(key)
			if err != nil {
				return here.failed(err, m)
			}
			result, wanted := join(value, row, found)
			if !wanted {
				return nil
			}
			node.Emitted++
			return next(key, result, m)
		}, nil
	})
	joined.port.node.Parents = append(joined.port.node.Parents, table.changes.node)
	return joined
}
