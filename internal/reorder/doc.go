// Package reorder is a proxy between Kafka clients and a broker that does what a network and retries may do to requests:
// it holds them back, repeats them over other connections and loses their answers. Tests decide by a Schedule which ones
// and when; requests are cut from the stream and not decoded.
package reorder
