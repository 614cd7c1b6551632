package streams_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

func ExampleOpenCheckpoint() {
	store := state.NewKV("word-counts", serde.String, serde.Int64)
	report := func(ctx context.Context, dir string) error {
		c, err := streams.OpenCheckpoint(dir)
		if err != nil {
			return err
		}
		defer c.Close()
		for row, err := range streams.Range(ctx, c, store, nil, nil) {
			if err != nil {
				return err
			}
			fmt.Println(row.Key, row.Value)
		}
		return nil
	}
	err := report(context.Background(), "there is no such checkpoint")
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output: true
}
