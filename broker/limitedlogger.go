package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// limitedLines may be logged in each limitedWindow; what is beyond is counted.
	limitedLines  = 20
	limitedWindow = 10 * time.Second
)

// limitedLogger logs what clients can cause at will, without letting them fill the disk with it.
type limitedLogger struct {
	logger *slog.Logger

	mu struct {
		sync.Mutex
		since      time.Time
		lines      int
		suppressed int
	}
}

func newLimitedLogger(logger *slog.Logger) *limitedLogger { return &limitedLogger{logger: logger} }

func (l *limitedLogger) log(level slog.Level, message string, facts ...any) {
	suppressed, ok := l.admit(time.Now())
	if !ok {
		return
	}
	if suppressed > 0 {
		facts = append(facts, "suppressed", suppressed)
	}
	l.logger.Log(context.Background(), level, message, facts...)
}

// admit reports whether one more line may be logged, and how many were not since the last one.
func (l *limitedLogger) admit(now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.mu.since) >= limitedWindow {
		l.mu.since, l.mu.lines = now, 0
	}
	if l.mu.lines >= limitedLines {
		l.mu.suppressed++
		return 0, false
	}
	l.mu.lines++
	suppressed, l.mu.suppressed = l.mu.suppressed, 0
	return suppressed, true
}
