package streams

import (
	"iter"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// The functions that are given to these operators are called by the goroutines of several tasks. They are pure: the same record
// gives the same result, because it may be processed again. One that can fail belongs to the Try variants.
//
// A record without a value is a deletion. It passes Filter, FilterNot, Peek, MapValues and FlatMapValues as it is, without a call.
// What makes keys of values drops it and counts it (null_value).

// Filter keeps the records for which keep returns true.
func (s Stream[K, V]) Filter(keep func(key K, value V) bool) Stream[K, V] {
	return filter(s, "filter", true, "keep", keep)
}

// FilterNot leaves out the records for which drop returns true.
func (s Stream[K, V]) FilterNot(drop func(key K, value V) bool) Stream[K, V] {
	return filter(s, "filter-not", false, "drop", drop)
}

func filter[K, V any](s Stream[K, V], name string, wanted bool, predicate string, holds func(K, V) bool) Stream[K, V] {
	return operator(s, graph.Node{Operator: name},
		func(_ *build, node *engine.Node, next receive[K, V]) (receive[K, V], error) {
			return func(key K, value V, m *engine.Meta) error {
				m.Enter(node)
				if !m.NoValue && holds(key, value) != wanted {
					return nil
				}
				node.Emitted++
				return next(key, value, m)
			}, nil
		}, argument{predicate, holds})
}

// Peek calls see for each record.
func (s Stream[K, V]) Peek(see func(key K, value V)) Stream[K, V] {
	return operator(s, graph.Node{Operator: "peek"},
		func(_ *build, node *engine.Node, next receive[K, V]) (receive[K, V], error) {
			return func(key K, value V, m *engine.Meta) error {
				m.Enter(node)
				if !m.NoValue {
					see(key, value)
				}
				node.Emitted++
				return next(key, value, m)
			}, nil
		}, argument{"see", see})
}

// MapValues makes another value of each.
func MapValues[K, V, U any](s Stream[K, V], f func(value V) U) Stream[K, U] {
	return operator(s, graph.Node{Operator: "map-values"},
		func(_ *build, node *engine.Node, next receive[K, U]) (receive[K, V], error) {
			return func(key K, value V, m *engine.Meta) error {
				m.Enter(node)
				var mapped U
				if !m.NoValue {
					mapped = f(value)
				}
				node.Emitted++
				return next(key, mapped, m)
			}, nil
		}, argument{"f", f})
}

// Map makes another record of each. The keys may be others, so that what groups or joins the stream needs a Repartition before.
func Map[K, V, K2, V2 any](s Stream[K, V], f func(key K, value V) (K2, V2)) Stream[K2, V2] {
	return operator(s, graph.Node{Operator: "map"},
		func(_ *build, node *engine.Node, next receive[K2, V2]) (receive[K, V], error) {
			return func(key K, value V, m *engine.Meta) error {
				m.Enter(node)
				if m.NoValue {
					node.Drop(engine.NullValue)
					return nil
				}
				newKey, newValue := f(key, value)
				node.Emitted++
				return forwardKeyed(next, newKey, newValue, m)
			}, nil
		}, argument{"f", f}).rekeyed()
}

// SelectKey gives each record another key. What groups or joins the stream needs a Repartition before; GroupBy does both.
func SelectKey[K, V, K2 any](s Stream[K, V], f func(key K, value V) K2) Stream[K2, V] {
	return operator(s, graph.Node{Operator: "select-key"},
		func(_ *build, node *engine.Node, next receive[K2, V]) (receive[K, V], error) {
			return func(key K, value V, m *engine.Meta) error {
				m.Enter(node)
				if m.NoValue {
					node.Drop(engine.NullValue)
					return nil
				}
				newKey := f(key, value)
				node.Emitted++
				return forwardKeyed(next, newKey, value, m)
			}, nil
		}, argument{"f", f}).rekeyed()
}

// forwardKeyed passes a record on that has a key now.
func forwardKeyed[K, V any](next receive[K, V], key K, value V, m *engine.Meta) error {
	if !m.NoKey {
		return next(key, value, m)
	}
	m.NoKey = false
	err := next(key, value, m)
	m.NoKey = true
	return err
}

// FlatMapValues makes any number of values of each.
func FlatMapValues[K, V, U any](s Stream[K, V], f func(value V) iter.Seq[U]) Stream[K, U] {
	return operator(s, graph.Node{Operator: "flat-map-values"},
		func(_ *build, node *engine.Node, next receive[K, U]) (receive[K, V], error) {
			each := &spread[K, U]{node: node, next: next}
			yield := each.yieldValue
			return func(key K, value V, m *engine.Meta) error {
				m.Enter(node)
				if m.NoValue {
					var none U
					node.Emitted++
					return next(key, none, m)
				}
				each.key, each.m, each.err = key, m, nil
				f(value)(yield)
				return each.err
			}, nil
		}, argument{"f", f})
}

// FlatMap makes any number of records of each. What groups or joins the stream needs a Repartition before.
func FlatMap[K, V, K2, V2 any](s Stream[K, V], f func(key K, value V) iter.Seq2[K2, V2]) Stream[K2, V2] {
	return operator(s, graph.Node{Operator: "flat-map"},
		func(_ *build, node *engine.Node, next receive[K2, V2]) (receive[K, V], error) {
			each := &spread[K2, V2]{node: node, next: next}
			yield := each.yield
			return func(key K, value V, m *engine.Meta) error {
				m.Enter(node)
				if m.NoValue {
					node.Drop(engine.NullValue)
					return nil
				}
				each.m, each.err = m, nil
				f(key, value)(yield)
				return each.err
			}, nil
		}, argument{"f", f}).rekeyed()
}

// spread passes on what an iterator yields. One is made for each operator of a task, not for each record.
type spread[K, V any] struct {
	node *engine.Node
	next receive[K, V]
	key  K
	m    *engine.Meta
	err  error
}

func (s *spread[K, V]) yield(key K, value V) bool {
	if s.err != nil {
		return false // an iterator that does not stop when it is told to may not hide the error
	}
	s.node.Emitted++
	s.err = forwardKeyed(s.next, key, value, s.m)
	s.m.At = s.node
	return s.err == nil
}

func (s *spread[K, V]) yieldValue(value V) bool {
	if s.err != nil {
		return false
	}
	s.node.Emitted++
	s.err = s.next(s.key, value, s.m)
	s.m.At = s.node
	return s.err == nil
}
