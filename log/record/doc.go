// Package record is the Kafka record batch, version 2, as bytes: view, check, iterate, build and compress.
//
// A [Batch] is a view of exactly the bytes that travel over the wire and lie in a segment file. Nothing here
// parses a batch into a tree: accessors read the header in place, setters patch it in place, and a [Reader]
// walks the records as views into the batch (or into its own buffer when the batch is compressed).
//
//	offset size field
//	     0    8 base offset            outside the CRC: the broker writes it
//	     8    4 length                 bytes after this field
//	    12    4 partition leader epoch outside the CRC: the broker writes it
//	    16    1 magic                  2
//	    17    4 CRC-32C                of everything from the attributes to the end
//	    21    2 attributes             bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//	    23    4 last offset delta
//	    27    8 base timestamp         ms
//	    35    8 max timestamp          ms
//	    43    8 producer id            -1: none
//	    51    2 producer epoch
//	    53    4 base sequence          -1: none
//	    57    4 record count
//	    61    . records, compressed as one block by the codec
//
// A record is, every number but the attributes a zigzag varint:
//
//	length, attributes (1 byte, 0), timestamp delta, offset delta,
//	key length (-1: null), key, value length (-1: null), value,
//	header count, then per header: key length, key, value length (-1: null), value
//
// The functions are pure. A Batch is safe for concurrent reading; a Reader and a Builder belong to one goroutine.
//
// Source: Kafka's protocol guide, KIP-98 (batch and control records), KIP-82 (headers), KIP-110 (zstd).
package record
