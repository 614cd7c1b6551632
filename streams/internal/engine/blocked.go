package engine

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/millrace/millrace/consumer"
)

// BlockedError is that a function of the topology does not return, for longer than the process may wait.
type BlockedError struct {
	Task     TaskID
	Doing    string        // node, topic, partition and offset, as far as they are known
	Function string        // where its goroutine is, "" if that is not known
	Limit    time.Duration // Config.ProcessTimeout
}

func (e *BlockedError) Error() string {
	text := fmt.Sprintf("task %v is busy with %s for longer than Config.ProcessTimeout, %v", e.Task, e.Doing, e.Limit)
	if e.Function != "" {
		text += ", in " + e.Function
	}
	return text + ". None of it is committed; who takes the task over begins with it"
}

// Unwrap makes it a consumer.ErrStuck.
func (e *BlockedError) Unwrap() error { return consumer.ErrStuck }

// explain makes the error of a group say which record of which task is to blame.
func (s *Shell) explain(err error) error {
	var stuck *consumer.StuckError
	if !errors.As(err, &stuck) {
		return err
	}
	if l, err := s.lane(stuck.Partition); err == nil {
		return l.blocked()
	}
	return err
}

func (l *lane) blocked() *BlockedError {
	e := &BlockedError{Task: l.id, Doing: "beginning", Function: l.function(), Limit: l.shell.options.ProcessTimeout}
	if task := l.running(); task != nil {
		e.Doing = cmp.Or(task.Doing(), "a timer")
	}
	return e
}

// busy says what the disk is waited for, for a partition; "" if it is not.
func (s *Shell) busy(p consumer.TopicPartition) string {
	l, err := s.lane(p)
	if err != nil || l.disk.String() == "" {
		return ""
	}
	return fmt.Sprintf("task %v: %s", l.id, l.disk.String())
}

// warnOfBlocked says what the task is busy with when it is waited for no longer.
func (l *lane) warnOfBlocked() {
	if task := l.running(); task != nil && task.Doing() != "" {
		e := l.blocked()
		l.shell.logger.Warn("a function takes too long, its work is undone once it returns", "task", l.id, "doing", e.Doing,
			"function", e.Function, "limit", e.Limit)
	}
}

const stacksBytesMax = 1 << 20

// function returns what the goroutine that works for the lane is doing: the frame above those of the runtime and of the standard
// library's synchronization.
func (l *lane) function() string {
	stacks := make([]byte, stacksBytesMax)
	stacks = stacks[:runtime.Stack(stacks, true)]
	mark := fmt.Appendf(nil, "(*lane).work(%p", l)
	for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		if bytes.Contains(stack, mark) {
			return frame(string(stack))
		}
	}
	return ""
}

// frame returns the innermost frame of a stack that is not the language's own.
func frame(stack string) string {
	lines := strings.Split(stack, "\n")
	for i := 1; i+1 < len(lines); i += 2 {
		function, _, _ := strings.Cut(lines[i], "(0x")
		own := true
		for _, prefix := range []string{"runtime.", "sync.", "time.", "internal/", "syscall.", "os.", "net."} {
			own = own && !strings.HasPrefix(function, prefix)
		}
		if own {
			place, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +")
			return fmt.Sprintf("%s (%s)", strings.TrimSuffix(function, "(...)"), place)
		}
	}
	return ""
}
