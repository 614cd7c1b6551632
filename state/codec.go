package state

// Codec turns the values of one type into bytes and back. It is what stores, topics and repartitions know of a type. A codec
// is used by several goroutines at once.
type Codec[T any] interface {
	// Name stands for the format: "string", "int64", "json". It is kept with what was written, and another name is taken for
	// another format, which the stored bytes do not have.
	Name() string
	// Append appends the encoding of value to dst and returns the extended slice. For the key of a store or of a topic,
	// equal values must have equal encodings. On an error, what it returns besides is not used.
	Append(dst []byte, value T) ([]byte, error)
	// Decode returns the value that data encodes. It keeps no part of data, which is used again: what lies in the value is
	// a copy.
	Decode(data []byte) (T, error)
}

// nameOf returns the name of a codec, "" without one.
func nameOf[T any](codec Codec[T]) string {
	if codec == nil {
		return ""
	}
	return codec.Name()
}
