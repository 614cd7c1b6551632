package broker

import (
	"context"
	"fmt"
	"sync"
)

// producerIDStockMin is how many producer ids a coordinator of transactions finds at hand: it cannot wait for more.
const producerIDStockMin = 128

// producerIDs hands out producer ids from blocks that the metadata log has reserved. What is left of a block when the
// broker stops is never used. Safe for concurrent use.
type producerIDs struct {
	reserve   func(context.Context) (first int64, count int32, err error) // a block, durably this broker's
	reserving sync.Mutex                                                  // held while a block is reserved: all that ask then need it

	mu struct {
		sync.Mutex
		blocks []producerIDRange // none is empty; the first is used first
		left   int
	}
}

type producerIDRange struct {
	first int64
	count int32
}

// next returns an id, and reserves a block for it if need be.
func (ids *producerIDs) next(ctx context.Context) (int64, error) {
	for {
		if id, ok := ids.take(); ok {
			return id, nil
		}
		if err := ids.stock(ctx, 1); err != nil {
			return 0, err
		}
	}
}

// take returns an id if there is one at hand. It waits for nothing.
func (ids *producerIDs) take() (id int64, ok bool) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if ids.mu.left == 0 {
		return 0, false
	}
	block := &ids.mu.blocks[0]
	id = block.first
	block.first++
	block.count--
	ids.mu.left--
	if block.count == 0 {
		ids.mu.blocks = ids.mu.blocks[1:]
	}
	return id, true
}

// stock makes sure that so many ids are at hand.
func (ids *producerIDs) stock(ctx context.Context, count int) error {
	if ids.left() >= count {
		return nil
	}
	ids.reserving.Lock()
	defer ids.reserving.Unlock()
	if ids.left() >= count {
		return nil
	}
	first, reserved, err := ids.reserve(ctx)
	if err != nil {
		return fmt.Errorf("reserve producer ids: %w", err)
	}
	ids.mu.Lock()
	defer ids.mu.Unlock()
	ids.mu.blocks = append(ids.mu.blocks, producerIDRange{first, reserved})
	ids.mu.left += int(reserved)
	return nil
}

func (ids *producerIDs) left() int {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	return ids.mu.left
}
