package streams

import (
	"cmp"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Processor is a step of one's own. Each task has one, that its goroutine alone calls.
//
// If it has a method Init(*Context[K2, V2]) error, that is called before the first record, when the stores are restored: the place
// for timers and for [KVStore]. If it has a method Close(), that is called when the task ends.
type Processor[K, V, K2, V2 any] interface {
	// Process takes one record, also those without a key or a value. An error is for ProcessOptions.OnError to decide about; what
	// was forwarded, and put into stores, before it stays.
	Process(ctx *Context[K2, V2], record Record[K, V]) error
}

// ProcessFunc is a Processor without a state of its own.
type ProcessFunc[K, V, K2, V2 any] func(ctx *Context[K2, V2], record Record[K, V]) error

// Process calls f.
func (f ProcessFunc[K, V, K2, V2]) Process(ctx *Context[K2, V2], record Record[K, V]) error {
	return f(ctx, record)
}

// Record is a record as a Processor has it.
type Record[K, V any] struct {
	Key            K
	Value          V
	NoKey, NoValue bool               // the key, the value is missing, and here the zero value
	Timestamp      time.Time          // zero in a record to Forward: that of the record in hand, or of the timer
	Headers        []kgo.RecordHeader // not to be changed in place
}

// ProcessOptions are options of Process.
type ProcessOptions struct {
	Stores  []state.Store // what the processor opens; several nodes may have the same, also those of operators
	OnError Policy        // for records of which Process returns an error
}

// Process has each record processed by a step of one's own. name is that of the node. processor makes one for each task. What
// groups or joins the result needs a Repartition before.
func Process[K, V, K2, V2 any](s Stream[K, V], name string, processor func() Processor[K, V, K2, V2], options ProcessOptions) Stream[K2, V2] {
	t := s.port.of()
	t.named("process", name)
	policy := t.follow(name, options.OnError)
	n := graph.Node{Name: name, Operator: "process", DeadLetters: policy.DeadLetters}
	for _, store := range options.Stores {
		if t.addStore(name, store, "") {
			n.Stores = append(n.Stores, store.Spec().Name)
		}
	}
	return operator(s, n, func(b *build, node *engine.Node, next receive[K2, V2]) (receive[K, V], error) {
		if err := b.site.DB().OpenStores(options.Stores...); err != nil {
			return nil, err
		}
		p := &processing[K, V, K2, V2]{processor: processor(), policy: policy,
			ctx: &Context[K2, V2]{site: b.site, node: node, stores: n.Stores, next: next}}
		if p.processor == nil {
			return nil, fmt.Errorf("node %s: processor returns nil: it makes a Processor for each task", name)
		}
		p.begin()
		return p.receive, nil
	}, argument{"processor", processor}).rekeyed()
}

// processing is a Processor in a task.
type processing[K, V, K2, V2 any] struct {
	processor Processor[K, V, K2, V2]
	policy    engine.Policy
	ctx       *Context[K2, V2]
}

func (p *processing[K, V, K2, V2]) begin() {
	site, node := p.ctx.site, p.ctx.node
	if initial, ok := p.processor.(interface{ Init(*Context[K2, V2]) error }); ok {
		site.OnStart(func() error {
			p.ctx.meta = &engine.Meta{TimestampMs: max(0, site.StreamMs()), At: node, Maker: node}
			err := initial.Init(p.ctx)
			if err = cmp.Or(p.ctx.ends, err); err != nil {
				return fmt.Errorf("node %s: init: %w", node.Name, err)
			}
			return nil
		})
	}
	if closing, ok := p.processor.(interface{ Close() }); ok {
		site.OnClose(closing.Close)
	}
}

func (p *processing[K, V, K2, V2]) receive(key K, value V, m *engine.Meta) error {
	m.Enter(p.ctx.node)
	p.ctx.site.Wait(p.ctx.node, m)
	p.ctx.site.SetTime(m.TimestampMs)
	p.ctx.meta, p.ctx.ends = m, nil
	err := p.processor.Process(p.ctx, Record[K, V]{Key: key, Value: value, NoKey: m.NoKey, NoValue: m.NoValue,
		Timestamp: time.UnixMilli(m.TimestampMs), Headers: m.Headers})
	if p.ctx.ends != nil {
		return p.ctx.ends
	}
	if err != nil {
		return p.ctx.site.Reject(p.ctx.node, p.policy, engine.Failed, err, m, letter[K, V](nil, nil, key, value, m))
	}
	return nil
}
