package streams

// Grouped is a stream whose records lie where all others of the same key do, ready to be put together.
type Grouped[K, V any] struct {
	stream Stream[K, V]
}

// GroupByKey groups the records by the key that they have. A stream whose keys were changed must pass through a topic first,
// or records of one key would be counted in several places: see [GroupBy].
func (s Stream[K, V]) GroupByKey() Grouped[K, V] {
	s.needKeysInPlace("GroupByKey", "use GroupBy, which takes a topic for it, or call Repartition first")
	return Grouped[K, V]{s}
}

// GroupBy groups the records by another key. They pass through the repartition topic, which brings together those of one key;
// the library creates it. Records without a value are left out and counted as null_value.
func GroupBy[K, V, K2 any](s Stream[K, V], topic Topic[K2, V], key func(K, V) K2) Grouped[K2, V] {
	return SelectKey(s, key).Repartition(topic).GroupByKey()
}

// needKeysInPlace notes the mistake of an operator behind one that has changed the keys.
func (s Stream[K, V]) needKeysInPlace(operator, advice string) {
	topology := s.port.of()
	if by := s.port.rekeyed; by != "" {
		topology.fail(by, "it changes the keys, so records of one key may be in several partitions when %s comes: %s", operator, advice)
	}
}
