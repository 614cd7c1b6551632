package streams

import (
	"encoding/json"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
)

// letter encodes a record that came of no input record, for a dead letter. What cannot be encoded, as it may be just that which is
// wrong with the record, is missing there. Steps between topics have no codecs (nil): their records are written as JSON.
func letter[K, V any](keys state.Codec[K], values state.Codec[V], key K, value V, m *engine.Meta) engine.Encode {
	return func() (keyBytes, valueBytes []byte) {
		if !m.NoKey {
			keyBytes = encodeOrNil(keys, key)
		}
		if !m.NoValue {
			valueBytes = encodeOrNil(values, value)
		}
		return keyBytes, valueBytes
	}
}

func encodeOrNil[T any](codec state.Codec[T], value T) []byte {
	var data []byte
	var err error
	if codec == nil {
		data, err = json.Marshal(value)
	} else {
		data, err = codec.Append([]byte{}, value)
	}
	if err != nil {
		return nil
	}
	return data
}
