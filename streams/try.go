package streams

import (
	"iter"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// TryFilter is Filter with a function that can fail. name is that of the node; what policy leaves out is counted there, as error.
func TryFilter[K, V any](s Stream[K, V], name string, keep func(key K, value V) (bool, error), policy Policy) Stream[K, V] {
	return try(s, name, "try-filter", policy, argument{"keep", keep},
		func(node *engine.Node, next receive[K, V], failed failed[K, V]) receive[K, V] {
			return func(key K, value V, m *engine.Meta) error {
				if !m.NoValue {
					kept, err := keep(key, value)
					if err != nil {
						return failed(key, value, err, m)
					}
					if !kept {
						return nil
					}
				}
				node.Emitted++
				return next(key, value, m)
			}
		})
}

// TryMapValues is MapValues with a function that can fail.
func TryMapValues[K, V, U any](s Stream[K, V], name string, f func(value V) (U, error), policy Policy) Stream[K, U] {
	return try(s, name, "try-map-values", policy, argument{"f", f},
		func(node *engine.Node, next receive[K, U], failed failed[K, V]) receive[K, V] {
			return func(key K, value V, m *engine.Meta) error {
				var mapped U
				if !m.NoValue {
					var err error
					if mapped, err = f(value); err != nil {
						return failed(key, value, err, m)
					}
				}
				node.Emitted++
				return next(key, mapped, m)
			}
		})
}

// TryMap is Map with a function that can fail.
func TryMap[K, V, K2, V2 any](s Stream[K, V], name string, f func(key K, value V) (K2, V2, error), policy Policy) Stream[K2, V2] {
	return try(s, name, "try-map", policy, argument{"f", f},
		func(node *engine.Node, next receive[K2, V2], failed failed[K, V]) receive[K, V] {
			return func(key K, value V, m *engine.Meta) error {
				if m.NoValue {
					node.Drop(engine.NullValue)
					return nil
				}
				newKey, newValue, err := f(key, value)
				if err != nil {
					return failed(key, value, err, m)
				}
				node.Emitted++
				return forwardKeyed(next, newKey, newValue, m)
			}
		}).rekeyed()
}

// TryFlatMapValues is FlatMapValues with a function that can fail. A failure is of the whole record: nothing of it is passed on.
func TryFlatMapValues[K, V, U any](s Stream[K, V], name string, f func(value V) (iter.Seq[U], error), policy Policy) Stream[K, U] {
	return try(s, name, "try-flat-map-values", policy, argument{"f", f},
		func(node *engine.Node, next receive[K, U], failed failed[K, V]) receive[K, V] {
			each := &spread[K, U]{node: node, next: next}
			yield := each.yieldValue
			return func(key K, value V, m *engine.Meta) error {
				if m.NoValue {
					var none U
					node.Emitted++
					return next(key, none, m)
				}
				values, err := f(value)
				if err != nil {
					return failed(key, value, err, m)
				}
				each.key, each.m, each.err = key, m, nil
				values(yield)
				return each.err
			}
		})
}

// failed does with a record what the policy says.
type failed[K, V any] func(key K, value V, err error, m *engine.Meta) error

// try adds a named node whose function can fail.
func try[K, V, K2, V2 any](s Stream[K, V], name, operation string, policy Policy, given argument,
	make func(*engine.Node, receive[K2, V2], failed[K, V]) receive[K, V],
) Stream[K2, V2] {
	s.port.of().named(operation, name)
	rejects := s.port.of().follow(name, policy)
	return operator(s, graph.Node{Name: name, Operator: operation, DeadLetters: rejects.DeadLetters},
		func(b *build, node *engine.Node, next receive[K2, V2]) (receive[K, V], error) {
			receive := make(node, next, func(key K, value V, err error, m *engine.Meta) error {
				return b.site.Reject(node, rejects, engine.Failed, err, m, letter[K, V](nil, nil, key, value, m))
			})
			return func(key K, value V, m *engine.Meta) error {
				m.Enter(node)
				b.site.Wait(node, m)
				return receive(key, value, m)
			}, nil
		}, given)
}
