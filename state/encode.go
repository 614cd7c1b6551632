package state

import "fmt"

func appendKey[K any](dst []byte, keys Codec[K], key K, store string) ([]byte, error) {
	encoded, err := keys.Append(dst, key)
	if err != nil {
		return nil, fmt.Errorf("encode a key of store %s with codec %s: %w", store, keys.Name(), err)
	}
	return encoded, nil
}

func decodeKey[K any](keys Codec[K], encoded []byte, store string) (K, error) {
	key, err := keys.Decode(encoded)
	if err != nil {
		return key, fmt.Errorf("decode a key of store %s with codec %s: %w", store, keys.Name(), err)
	}
	return key, nil
}

// encodeBound encodes the end of a range; nil stays open.
func encodeBound[K any](keys Codec[K], bound *K, store string) ([]byte, error) {
	if bound == nil {
		return nil, nil
	}
	return appendKey([]byte{}, keys, *bound, store) // not nil, even if the key has no bytes
}

// encodeBounds is encodeBound for both ends.
func encodeBounds[K any](keys Codec[K], from, to *K, store string) (lower, upper []byte, err error) {
	if lower, err = encodeBound(keys, from, store); err != nil {
		return nil, nil, err
	}
	upper, err = encodeBound(keys, to, store)
	return lower, upper, err
}
