// timed runs somebody else's load program some times and prints the figure that it reports, with its spread and the
// processor time that the server used meanwhile. The first run is not counted.
//
//	timed -n 5 -pid 123 -label kafka -what produce -unit records/s -figure ', ([0-9.]+) records/sec' -gb 0.5 -- PROGRAM ARGUMENT...
//
// {run} in an argument is replaced by the run's number, so that each run can have a topic of its own.
package main

import (
	"flag"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
)

func main() {
	runs := flag.Int("n", 5, "runs")
	pid := flag.Int("pid", 0, "the server's process id, or 0")
	label := flag.String("label", "", "put before each row")
	what := flag.String("what", "", "what is measured")
	unit := flag.String("unit", "records/s", "unit of the figure")
	figure := flag.String("figure", "", "regular expression whose only group is the figure; its last match counts")
	gigabytes := flag.Float64("gb", 0, "gigabytes of values that a run moves; 0: no processor time per GB")
	flag.Parse()
	pattern, err := regexp.Compile(*figure)
	rep.Must(err)
	var figures, processor []float64
	for run := 0; run <= *runs; run++ {
		before := proc.CPU(*pid)
		reported := once(pattern, run, flag.Args())
		if run == 0 {
			continue
		}
		figures = append(figures, reported)
		if *gigabytes > 0 {
			processor = append(processor, float64((proc.CPU(*pid)-before).Milliseconds()) / *gigabytes)
		}
	}
	rep.Row(*label+" "+*what, *unit, figures)
	if len(processor) > 0 {
		rep.Row(*label+" "+*what+" broker cpu", "ms/GB", processor)
	}
}

// once runs the program and returns the figure that it printed.
func once(pattern *regexp.Regexp, run int, arguments []string) float64 {
	for i := range arguments {
		arguments = append([]string(nil), arguments...)
		arguments[i] = strings.ReplaceAll(arguments[i], "{run}", strconv.Itoa(run))
	}
	output, err := exec.Command(arguments[0], arguments[1:]...).CombinedOutput()
	if err != nil {
		rep.Must(fmt.Errorf("%s: %w\n%s", arguments[0], err, output))
	}
	matches := pattern.FindAllSubmatch(output, -1)
	if len(matches) == 0 {
		rep.Must(fmt.Errorf("%s: no figure in\n%s", arguments[0], output))
	}
	value, err := strconv.ParseFloat(string(matches[len(matches)-1][1]), 64)
	rep.Must(err)
	return value
}
