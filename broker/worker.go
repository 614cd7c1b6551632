package broker

import (
	"context"
	"sync"
)

// worker is one goroutine of the broker's own, for what is done in the background until stop. The zero value is one that
// was not started.
type worker struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// start lets run go on until its context ends, which stop sees to. It is called once at most.
func (w *worker) start(run func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.done.Go(func() { run(ctx) })
}

// stop ends the goroutine and waits for it. Without start it does nothing.
func (w *worker) stop() {
	if w.cancel != nil {
		w.cancel()
	}
	w.done.Wait()
}
