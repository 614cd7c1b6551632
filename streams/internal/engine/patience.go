package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/millrace/millrace/consumer"
)

// retryPauseMin and retryPauseMax bound the pause between two tries of a request.
const (
	retryPauseMin = 50 * time.Millisecond
	retryPauseMax = 5 * time.Second
)

// lasting is an error that trying again does not mend.
type lasting struct{ error }

func (l lasting) Unwrap() error { return l.error }

// isLasting reports whether there is no use in trying again. What is of no known kind comes from the network.
func isLasting(err error) bool {
	var l lasting
	return errors.As(err, &l) || !consumer.IsTransient(err)
}

// patiently tries again while brokers are away or busy, until ctx ends.
func patiently(ctx context.Context, logger *slog.Logger, what string, do func() error) error {
	told := false
	for pause := retryPauseMin; ; pause = min(2*pause, retryPauseMax) {
		err := do()
		if err == nil || isLasting(err) {
			return err
		}
		if ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if !told {
			told = true
			logger.Warn("cannot reach the brokers, trying again", "to", what, "error", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
