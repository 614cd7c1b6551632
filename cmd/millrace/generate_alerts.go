package main

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"
)

// alert is a rule of Prometheus. docs/RUNBOOK.md has a section for each.
type alert struct {
	name        string // the section's heading
	expression  string
	lasting     string // how long it has to hold, a duration of Prometheus
	severity    string // "critical": act now; "warning": act today; "info": know it
	summary     string // templates of Prometheus: {{ $labels.instance }}
	description string
}

const runbook = "https://github.com/millrace/millrace/blob/main/docs/RUNBOOK.md#"

// alerts are what `millrace generate alerts` prints.
var alerts = []alert{
	{"MillraceDown", `up{job="millrace"} == 0`, "1m", "critical",
		"{{ $labels.instance }} does not answer",
		"Prometheus cannot scrape the broker. Clients most likely cannot reach it either."},
	{"MillraceNotReady", `millrace_ready == 0`, "5m", "critical",
		"{{ $labels.instance }} is up and serves no clients",
		"The broker has been starting or stopping for five minutes. After a crash it checks the ends of its logs first."},
	{"MillracePartitionsOffline", `millrace_partitions_offline > 0`, "1m", "critical",
		"{{ $value }} partitions of {{ $labels.instance }} are offline",
		"They are damaged, or a sync of theirs has failed. All other partitions are served."},
	{"MillraceSyncFailed", `increase(millrace_log_fsync_failures_total[1h]) > 0`, "0m", "critical",
		"A sync has failed on {{ $labels.instance }}",
		"The disk did not take what was written. The partition acknowledges nothing until the broker has restarted."},
	{"MillraceReadOnly", `millrace_disk_state == 2`, "1m", "critical",
		"{{ $labels.instance }} refuses records: its disk is full",
		"The disk of {{ $labels.dir }} is nearly full. Producers get errors, consumers are served."},
	{"MillraceDiskLow", `millrace_disk_free_bytes / millrace_disk_total_bytes < 0.1`, "5m", "warning",
		"{{ $labels.instance }} has {{ $value | humanizePercentage }} of its disk left",
		"Little room is left in {{ $labels.dir }}. When it is gone the broker refuses records."},
	{"MillraceDiskFullSoon", `predict_linear(millrace_disk_free_bytes[1h], 4 * 3600) < 0 and millrace_disk_free_bytes / millrace_disk_total_bytes < 0.4`, "30m", "warning",
		"The disk of {{ $labels.instance }} is full in four hours",
		"At the pace of the last hour the disk of {{ $labels.dir }} has no room left in four hours."},
	{"MillraceProduceSlow", p99("millrace_request_duration_seconds", `{api="Produce",phase="total"}`) + ` > 0.5`, "10m", "warning",
		"Producers of {{ $labels.instance }} wait {{ $value | humanizeDuration }}",
		"One in a hundred produce requests takes longer than that until it is acknowledged."},
	{"MillraceFetchSlow", p99("millrace_request_duration_seconds", `{api="Fetch",phase="local"}`) + ` > 0.5`, "10m", "warning",
		"Fetches of {{ $labels.instance }} take {{ $value | humanizeDuration }}",
		"One in a hundred fetches works for longer than that; the wait for new records is not in it."},
	{"MillraceSyncSlow", p99("millrace_log_fsync_duration_seconds", "") + ` > 0.5`, "10m", "warning",
		"Syncs of {{ $labels.instance }} take {{ $value | humanizeDuration }}",
		"One in a hundred syncs of the disk takes longer than that. Every acknowledged produce waits for one."},
	{"MillraceRequestErrors", `sum by (job, instance) (rate(millrace_request_errors_total{error!~"REBALANCE_IN_PROGRESS|MEMBER_ID_REQUIRED|TOPIC_ALREADY_EXISTS|FETCH_SESSION_ID_NOT_FOUND"}[5m])) / sum by (job, instance) (rate(millrace_requests_total[5m])) > 0.01`, "5m", "warning",
		"{{ $value | humanizePercentage }} of the requests to {{ $labels.instance }} fail",
		"More than one answer in a hundred has an error code that is not part of ordinary work."},
	{"MillraceHandlerPanicked", `increase(millrace_request_panics_total[1h]) > 0`, "0m", "warning",
		"A request made {{ $labels.instance }} panic",
		"That is a defect. It has cost one client its connection; the broker goes on."},
	{"MillraceCorruptBatches", `increase(millrace_batches_rejected_total{reason="crc"}[15m]) > 0`, "0m", "warning",
		"{{ $labels.instance }} was sent damaged batches",
		"Batches of a producer did not match their checksum. They were refused, nothing damaged was stored."},
	{"MillraceDataDamaged", `millrace_log_corrupt_batches_total > 0`, "0m", "critical",
		"The disk of {{ $labels.instance }} has damaged {{ $value }} ranges of records",
		"The scrub read again what was stored, and it does not match its checksums any more. Those records are refused, all others served."},
	{"MillraceScrubBehind", `millrace_scrub_age_seconds > 30 * 86400 or (millrace_scrub_age_seconds < 0 and time() - millrace_start_time_seconds > 30 * 86400)`, "1h", "info",
		"The disk of {{ $labels.instance }} was not searched for damage for a month",
		"The scrub has not read all sealed segments for a month. Damage may be there that nobody knows of."},
	{"MillraceCompactionFailing", `increase(millrace_compaction_failures_total[1h]) > 0`, "10m", "warning",
		"Compaction fails on {{ $labels.instance }}",
		"A log could not be compacted. It grows, and keeps what should be deleted."},
	{"MillraceCompactionBehind", `millrace_compaction_backlog_bytes > 1e9 and deriv(millrace_compaction_backlog_bytes[6h]) > 0`, "1h", "warning",
		"{{ $value | humanize1024 }}B of {{ $labels.topic }} on {{ $labels.instance }} are yet to be compacted",
		"More is written to the topic than compaction gets through."},
	{"MillraceThrottled", `sum by (job, instance, kind) (rate(millrace_quota_throttle_seconds_total[5m])) > 0.5`, "15m", "info",
		"Clients of {{ $labels.instance }} are slowed down by a quota ({{ $labels.kind }})",
		"In each second clients were told to rest for {{ $value | humanizeDuration }}, all of them together."},
	{"MillraceConnectionsRefused", `sum by (job, instance, reason) (increase(millrace_connections_rejected_total{reason!="stopping"}[10m])) > 0`, "5m", "warning",
		"{{ $labels.instance }} refuses connections ({{ $labels.reason }})",
		"More clients want to connect than max.connections or max.connections.per.ip allow."},
	{"MillraceGroupLagging", `millrace_consumer_group_lag_seconds > 300 and deriv(millrace_consumer_group_lag_seconds[10m]) > 0`, "10m", "warning",
		"Group {{ $labels.group }} is {{ $value | humanizeDuration }} behind in {{ $labels.topic }}",
		"The oldest record that the group has yet to read is that old, and it gets no better."},
	{"MillraceGroupWithoutMembers", `millrace_consumer_group_members{group!="_other"} == 0 and on (job, instance, group) sum by (job, instance, group) (millrace_consumer_group_lag_records) > 0`, "15m", "warning",
		"Group {{ $labels.group }} has records to read and no members",
		"Nobody reads for the group. Its consumers are down, or it is not used any more."},
	{"MillraceRebalanceStorm", `sum by (job, instance, group) (increase(millrace_consumer_group_rebalances_total{group!="_other"}[15m])) > 10`, "5m", "warning",
		"Group {{ $labels.group }} rebalances all the time",
		"{{ $value }} rebalances in a quarter of an hour. While one is under way, most consumers read nothing."},
	{"MillraceTransactionOverdue", `millrace_transactions_overdue > 0`, "5m", "warning",
		"{{ $value }} transactions on {{ $labels.instance }} should have ended long ago",
		"They began more than twice their timeout ago. Consumers of committed records wait in their partitions."},
	{"MillraceLastStableOffsetStuck", `millrace_last_stable_offset_stuck_seconds > 1800`, "5m", "warning",
		"Consumers of committed records in {{ $labels.topic }} have got nothing new for {{ $value | humanizeDuration }}",
		"A transaction in a partition of {{ $labels.topic }} on {{ $labels.instance }} is not decided, for longer than any should take."},
	{"MillraceRecoverySlow", `millrace_log_recovery_seconds > 60`, "0m", "info",
		"{{ $labels.instance }} took {{ $value | humanizeDuration }} to start",
		"It checked its logs for that long, as after a crash or a kill."},
	{"MillraceUnacknowledgedCut", `millrace_log_truncated_bytes_total > 0`, "0m", "info",
		"{{ $labels.instance }} cut off {{ $value | humanize1024 }}B that nobody was promised",
		"At its last start the broker found the remains of writes that a crash had interrupted. Records acknowledged with flush=commit are not among them."},
	{"MillraceMetricsLeftOut", `millrace_metrics_left_out > 0`, "1h", "info",
		"{{ $value }} of a kind ({{ $labels.kind }}) have no metrics of their own on {{ $labels.instance }}",
		"There are more than the limits allow; alerts about single groups and topics do not see those."},
}

// p99 is the time within which 99 of 100 of the last minutes' events of a histogram were done.
func p99(histogram, matchers string) string {
	return "histogram_quantile(0.99, sum by (job, instance, le) (rate(" + histogram + "_bucket" + matchers + "[5m])))"
}

// alertRule is an alert as a rules file of Prometheus has it.
type alertRule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type alertGroup struct {
	Name  string      `yaml:"name"`
	Rules []alertRule `yaml:"rules"`
}

// alertsFile returns the alerts as a rules file.
func alertsFile() ([]byte, error) {
	group := alertGroup{Name: "millrace"}
	for _, a := range alerts {
		group.Rules = append(group.Rules, alertRule{
			Alert: a.name, Expr: a.expression, For: a.lasting, Labels: map[string]string{"severity": a.severity},
			Annotations: map[string]string{
				"summary": a.summary, "description": a.description, "runbook_url": runbook + strings.ToLower(a.name),
			},
		})
	}
	var out bytes.Buffer
	out.WriteString("# Alerts for Prometheus, made by `millrace generate alerts`. The job of the brokers is taken to be called \"millrace\".\n")
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err := encoder.Encode(map[string][]alertGroup{"groups": {group}})
	return out.Bytes(), err
}
