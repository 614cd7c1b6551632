package streams

import (
	"fmt"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Policy says what becomes of a record that a node cannot process. The zero Policy is Fail. What is left out is counted, by
// node and reason.
type Policy struct {
	engine  engine.Policy
	mistake error // of its description; nil: none
}

var (
	// Fail ends Run with an error that names the node, the record and the cause. Nothing of the record is committed.
	Fail = Policy{}
	// Skip leaves the record out.
	Skip = Policy{engine: engine.Policy{Skip: true}}
)

// DeadLetter leaves the record out and writes the input record that it came of to a topic, as it is, with headers that say where
// it came from and what was wrong: consumer.DeadLetterCause, consumer.DeadLetterTopic, consumer.DeadLetterPartition,
// consumer.DeadLetterOffset and DeadLetterNode. It is written with everything else that is committed.
//
// What came of no input record, as the result of a window when it closes or what a timer forwards, is written itself: with the
// sink's codecs if it is a sink that cannot write it, else as JSON; a key or a value that does not encode, and a value that is too
// large for the topic of the dead letters too, is missing. DeadLetterMaker takes the place of topic, partition and offset then.
func DeadLetter(topic string) Policy {
	policy := Policy{engine: engine.Policy{DeadLetters: topic}}
	if err := graph.CheckTopicName(topic); err != nil {
		policy.mistake = fmt.Errorf("DeadLetter(%q): %w", topic, err)
	}
	return policy
}

const (
	// DeadLetterNode is the header of a dead letter with the name of the node that could not process it.
	DeadLetterNode = engine.DeadLetterNode
	// DeadLetterMaker is the header of a dead letter that came of no input record, with the name of the node that has made it: of
	// the windows, or of the processor with the timer.
	DeadLetterMaker = engine.DeadLetterMaker
)
