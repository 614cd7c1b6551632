// Package serde has codecs for the keys and values of topics and stores. Numbers, strings, UUIDs and windowed keys have the
// formats of Kafka's own serializers, so that programs in other languages read and write them; [JSON] is for everything
// else that is a Go type, and [Of] makes a codec of two functions.
//
// All codecs are values without state and safe for concurrent use. What they decode shares no memory with the bytes it was
// decoded from (TestNothingKeepsWhatItDecodes), and every encoding decodes to what it was made of (TestRoundTrip). Bytes that
// are no encoding are an error, never a panic (FuzzDecode).
package serde
