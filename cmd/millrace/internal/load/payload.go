package load

import (
	"fmt"
	"math/rand/v2"
)

// PayloadKinds are the kinds of record values: bytes that no codec makes smaller, text of random words that codecs
// make a third to a half of, and zeros.
var PayloadKinds = []string{"random", "text", "zeros"}

// payloadBytes is how much is made up in advance; values are cut out of it.
const payloadBytes = 1 << 20

// Payloads makes record values of one size. It is used by one goroutine.
type Payloads struct {
	size   int
	source []byte
	random *rand.Rand
}

// NewPayloads returns values of so many bytes, the same ones for the same seed.
func NewPayloads(kind string, size int, seed uint64) (*Payloads, error) {
	p := &Payloads{size: size, source: make([]byte, max(payloadBytes, 2*size)), random: rand.New(rand.NewPCG(seed, 0))}
	switch kind {
	case "random":
		for i := range p.source {
			p.source[i] = byte(p.random.Uint32())
		}
	case "text":
		p.fillText()
	case "zeros":
	default:
		return nil, fmt.Errorf("unknown payload %q", kind)
	}
	return p, nil
}

// fillText writes words of a vocabulary, of which some are frequent.
func (p *Payloads) fillText() {
	vocabulary := make([][]byte, 2000)
	for i := range vocabulary {
		word := make([]byte, 2+p.random.IntN(9))
		for j := range word {
			word[j] = byte('a' + p.random.IntN(26))
		}
		vocabulary[i] = append(word, ' ')
	}
	for at := 0; at < len(p.source); {
		rank := p.random.Float64() * p.random.Float64()
		at += copy(p.source[at:], vocabulary[int(rank*float64(len(vocabulary)))])
	}
}

// Next returns a value, which must not be changed.
func (p *Payloads) Next() []byte {
	at := p.random.IntN(len(p.source) - p.size + 1)
	return p.source[at : at+p.size : at+p.size]
}
