package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// How often the view is drawn: a picture that moves on a terminal, a line elsewhere.
const (
	demoFrame = 200 * time.Millisecond
	demoLine  = time.Second
)

const (
	demoBars    = 6  // pages in the picture
	demoBarMax  = 40 // characters of the longest bar
	eraseUpward = "\x1b[%dA\x1b[J"
)

// demoView writes lines of what has happened and, below them on a terminal, a picture of the counts. Safe for concurrent use.
type demoView struct {
	out      io.Writer
	terminal bool

	mu struct {
		sync.Mutex
		picture []string // what stands below the lines
	}
}

func newDemoView(out io.Writer) *demoView {
	return &demoView{out: out, terminal: isTerminal(out)}
}

func (v *demoView) every() time.Duration {
	if v.terminal {
		return demoFrame
	}
	return demoLine
}

// say writes a line.
func (v *demoView) say(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.replaceLocked(line+"\n", v.mu.picture)
}

// show draws how far things are.
func (v *demoView) show(elapsed time.Duration, in int64, tally *demoTally) {
	settled, late := tally.settled(), tally.late()
	progress := fmt.Sprintf("%5.1fs  in %d, counted %d, late %d, to do %d", elapsed.Seconds(), in, settled-late, late, max(0, in-settled))
	if !v.terminal {
		v.say(progress)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.replaceLocked("", append([]string{progress}, bars(tally.newest(demoBars))...))
}

// clear takes the picture away.
func (v *demoView) clear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.replaceLocked("", nil)
}

// replaceLocked writes, in one call, text in the place of the picture and a new picture below it.
func (v *demoView) replaceLocked(text string, picture []string) {
	var b strings.Builder
	if above := len(v.mu.picture); above > 0 {
		fmt.Fprintf(&b, eraseUpward, above)
	}
	b.WriteString(text)
	for _, line := range picture {
		b.WriteString(line + "\n")
	}
	v.mu.picture = picture
	_, _ = io.WriteString(v.out, b.String()) // there is nobody to tell
}

// bars draws the pages of a window.
func bars(startMs int64, top []pageCount) (lines []string) {
	if len(top) == 0 {
		return nil
	}
	start := time.UnixMilli(startMs).UTC()
	lines = append(lines, fmt.Sprintf("        %s to %s", start.Format(time.TimeOnly), start.Add(demoWindowSize).Format(time.TimeOnly)))
	for _, p := range top {
		length := int(p.count * demoBarMax / top[0].count)
		lines = append(lines, fmt.Sprintf("        %-10s %s %d", p.page, strings.Repeat("█", length), p.count))
	}
	return lines
}
