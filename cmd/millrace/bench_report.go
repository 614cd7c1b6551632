package main

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/load"
	"github.com/millrace/millrace/cmd/millrace/internal/output"
)

// benchReport is what a benchmark has measured, and how.
type benchReport struct {
	Bench            string          `json:"bench"`
	Measured         string          `json:"measured"`
	Interrupted      bool            `json:"interrupted"`
	Topic            string          `json:"topic"`
	Partitions       int32           `json:"partitions"`
	Flush            string          `json:"flush"`
	Acks             string          `json:"acks,omitempty"`
	Compression      string          `json:"compression"`
	Payload          string          `json:"payload"`
	SizeBytes        int             `json:"size_bytes"`
	Rate             *float64        `json:"rate"` // wanted; null: as fast as possible
	Producers        int             `json:"producers,omitempty"`
	Consumers        int             `json:"consumers,omitempty"`
	WarmUpSeconds    float64         `json:"warm_up_seconds"`
	Seconds          float64         `json:"seconds"`
	Records          int64           `json:"records"`
	Errors           int64           `json:"errors"`
	RecordsPerSecond float64         `json:"records_per_second"`
	MiBPerSecond     float64         `json:"mib_per_second"`
	Latency          *load.Latencies `json:"latency"` // null: not measured
	ClientCPUSeconds *float64        `json:"client_cpu_seconds"`
}

const bytesPerMiB = 1 << 20

func (r *benchRun) report() *benchReport {
	f := r.flags
	counts, _ := r.recorder.Counts()
	seconds := r.recorder.Measured().Seconds()
	report := &benchReport{
		Bench: r.cmd.Name(), Interrupted: r.ctx.Err() != nil, Topic: r.topic.name, Partitions: r.topic.partitions, Flush: r.topic.flush,
		Acks: f.acks, Compression: orNone(string(f.codec)), Payload: f.payload, SizeBytes: f.size, Producers: f.producers, Consumers: f.consumers,
		WarmUpSeconds: f.warmUp.Seconds(), Seconds: seconds, Records: counts.Records, Errors: counts.Errors,
	}
	if seconds > 0 {
		report.RecordsPerSecond = float64(counts.Records) / seconds
		report.MiBPerSecond = float64(counts.Bytes) / bytesPerMiB / seconds
	}
	if f.rate > 0 {
		report.Rate = &f.rate
	}
	if used := processorTime() - r.cpu; used > 0 {
		spent := used.Seconds()
		report.ClientCPUSeconds = &spent
	}
	if f.acks != "" && counts.Records > 0 {
		latencies := r.recorder.Latencies()
		report.Latency = &latencies
	}
	report.Measured = r.whatWasMeasured()
	return report
}

// whatWasMeasured says in words what the latency is.
func (r *benchRun) whatWasMeasured() string {
	if r.flags.acks == "" {
		return "reading as fast as possible; no latency"
	}
	from, to := "when the record was due", "its acknowledgement by "+map[string]string{"all": "all replicas in sync", "-1": "all replicas in sync", "1": "the leader"}[r.flags.acks]
	if r.flags.rate == 0 {
		from = "when the client was given the record"
	}
	if r.flags.acks == "0" {
		to = "when it was written to the socket, which no broker has confirmed"
	}
	if r.id != 0 {
		to = "when a consumer of the same process had it"
	}
	return "latency from " + from + " to " + to
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Tables returns a row per figure.
func (b *benchReport) Tables() []output.Table {
	rate := "as fast as possible"
	if b.Rate != nil {
		rate = fmt.Sprintf("%g records/s", *b.Rate)
	}
	how := []string{fmt.Sprintf("flush %s, compression %s, %d-byte %s values", b.Flush, b.Compression, b.SizeBytes, b.Payload)}
	if b.Acks != "" {
		how = append(how, "acks "+b.Acks)
	}
	if b.Producers > 0 {
		how = append(how, fmt.Sprintf("producers %d", b.Producers))
	}
	if b.Consumers > 0 {
		how = append(how, fmt.Sprintf("consumers %d", b.Consumers))
	}
	records := fmt.Sprintf("%d in %.3f s after a warm-up of %g s", b.Records, b.Seconds, b.WarmUpSeconds)
	if b.Interrupted {
		records += ", interrupted"
	}
	rows := [][]string{
		{"measured", b.Measured},
		{"topic", fmt.Sprintf("%s, %s", b.Topic, plural(int(b.Partitions), "partition"))},
		{"how", strings.Join(how, ", ")},
		{"rate wanted", rate},
		{"records", records},
		{"errors", number(b.Errors)},
		{"throughput", fmt.Sprintf("%.1f records/s, %.2f MiB/s", b.RecordsPerSecond, b.MiBPerSecond)},
	}
	if l := b.Latency; l != nil {
		rows = append(rows, []string{"latency", fmt.Sprintf("mean %.3f ms, p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f", l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max)})
	}
	if b.ClientCPUSeconds != nil {
		rows = append(rows, []string{"client", fmt.Sprintf("%.3f s of processor time", *b.ClientCPUSeconds)})
	}
	return []output.Table{{Headers: []string{"FIGURE", "VALUE"}, Rows: rows}}
}
