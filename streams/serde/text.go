package serde

// String is text as its bytes, as Kafka's StringSerializer has it for UTF-8. Any bytes decode.
var String Serde[string] = text{}

// Bytes is bytes as they are. nil and empty are the same. A decoded slice is a copy.
var Bytes Serde[[]byte] = raw{}

type text struct{}

func (text) Name() string                                    { return "string" }
func (text) Append(dst []byte, value string) ([]byte, error) { return append(dst, value...), nil }
func (text) Decode(data []byte) (string, error)              { return string(data), nil }

type raw struct{}

func (raw) Name() string                                    { return "bytes" }
func (raw) Append(dst []byte, value []byte) ([]byte, error) { return append(dst, value...), nil }
func (raw) Decode(data []byte) ([]byte, error)              { return append([]byte{}, data...), nil }
