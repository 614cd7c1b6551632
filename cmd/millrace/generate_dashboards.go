package main

// dashboards are what `millrace generate grafana` prints, by its argument.
var dashboards = map[string]*dashboard{"broker": &brokerDashboard, "groups": &groupsDashboard}

// here selects the brokers that were chosen at the top of a dashboard.
const here = `job=~"$job",instance=~"$instance"`

var brokerVariables = []dashboardVariable{
	{"job", "Job", "millrace_build_info"}, {"instance", "Broker", "millrace_build_info"},
}

func graph(title, unit, description string, width int, queries ...query) panel {
	return panel{title: title, description: description, kind: "timeseries", unit: unit, width: width, queries: queries}
}

func single(title, unit, description, expression string) panel {
	return panel{title: title, description: description, kind: "stat", unit: unit, width: 4, queries: []query{{expression, "{{instance}}"}}}
}

// quantile is that quantile of a histogram's last minutes, by some labels.
func quantile(q, histogram, matchers, by string) string {
	return "histogram_quantile(" + q + ", sum by (" + by + ", le) (rate(" + histogram + "_bucket{" + here + matchers + "}[$__rate_interval])))"
}

// rate is how much a counter grows in a second, by some labels.
func rate(counter, matchers, by string) string {
	return "sum by (" + by + ") (rate(" + counter + "{" + here + matchers + "}[$__rate_interval]))"
}

// gauge is a gauge as it is, added up by some labels.
func gauge(name, matchers, by string) string {
	return "sum by (" + by + ") (" + name + "{" + here + matchers + "})"
}

var brokerDashboard = dashboard{
	uid: "millrace-broker", title: "Millrace / Broker", variables: brokerVariables,
	description: "Traffic, latency, storage and health of millrace brokers. Made by `millrace generate grafana broker`.",
	rows: []dashboardRow{
		{"At a glance", []panel{
			single("Ready", "bool_yes_no", "Whether clients are served.", gauge("millrace_ready", "", "instance")),
			single("Up for", "s", "Time since the broker became ready.", "time() - millrace_start_time_seconds{"+here+"}"),
			single("Connections", "short", "Open client connections.", gauge("millrace_connections", "", "instance")),
			single("In", "Bps", "Record batches of producers.", rate("millrace_produce_bytes_total", "", "instance")),
			single("Out", "Bps", "Record batches sent to consumers.", rate("millrace_fetch_bytes_total", "", "instance")),
			single("Partitions offline", "short", "Partitions that cannot be written to. Anything but 0 needs a look.",
				gauge("millrace_partitions_offline", "", "instance")),
		}},
		{"Traffic", []panel{
			graph("Bytes in by topic", "Bps", "What producers write, in batches as they are sent: compressed if they are.", 12,
				query{rate("millrace_produce_bytes_total", "", "topic"), "{{topic}}"}),
			graph("Bytes out by topic", "Bps", "What consumers read, copies for several groups counted each.", 12,
				query{rate("millrace_fetch_bytes_total", "", "topic"), "{{topic}}"}),
			graph("Records in by topic", "cps", "Records that producers write.", 12,
				query{rate("millrace_produce_records_total", "", "topic"), "{{topic}}"}),
			graph("Records in a batch", "short", "Records divided by batches. Batches of one record cost a broker most: see the producer's linger.", 12,
				query{rate("millrace_produce_records_total", "", "topic") + " / " + rate("millrace_produce_batches_total", "", "topic"), "{{topic}}"}),
			graph("Batches refused", "cps", "Batches of producers that were refused, by reason: damaged, too large, out of sequence, ...", 12,
				query{rate("millrace_batches_rejected_total", "", "reason"), "{{reason}}"}),
			graph("Bytes on the wire", "Bps", "Everything that clients send and get.", 12,
				query{rate("millrace_received_bytes_total", "", "instance"), "received {{instance}}"},
				query{rate("millrace_sent_bytes_total", "", "instance"), "sent {{instance}}"}),
		}},
		{"Requests", []panel{
			graph("Requests", "reqps", "Requests answered, by kind.", 12, query{rate("millrace_requests_total", "", "api"), "{{api}}"}),
			graph("Errors in answers", "cps", "Error codes in answers. Some are part of the protocol, such as REBALANCE_IN_PROGRESS.", 12,
				query{rate("millrace_request_errors_total", "", "api, error"), "{{api}} {{error}}"}),
			graph("Produce: time to acknowledge", "s", "From a request's last byte to its answer, with the sync of the disk in it.", 12,
				query{quantile("0.5", "millrace_request_duration_seconds", `,api="Produce",phase="total"`, "instance"), "median {{instance}}"},
				query{quantile("0.99", "millrace_request_duration_seconds", `,api="Produce",phase="total"`, "instance"), "99 % {{instance}}"}),
			graph("Fetch: time at work", "s", "Without the wait for new records, which is meant to be long.", 12,
				query{quantile("0.5", "millrace_request_duration_seconds", `,api="Fetch",phase="local"`, "instance"), "median {{instance}}"},
				query{quantile("0.99", "millrace_request_duration_seconds", `,api="Fetch",phase="local"`, "instance"), "99 % {{instance}}"}),
			graph("Where the time of a produce goes", "s", "Average of each phase: in line behind earlier requests, at work, waiting for the sync.", 12,
				query{rate("millrace_request_duration_seconds_sum", `,api="Produce",phase!="total"`, "phase") + " / " +
					rate("millrace_request_duration_seconds_count", `,api="Produce",phase!="total"`, "phase"), "{{phase}}"}),
			graph("Requests in flight", "short", "Read and not answered yet; those in purgatory wait for a sync, for records or for other members.", 12,
				query{gauge("millrace_requests_in_flight", "", "api"), "{{api}}"},
				query{gauge("millrace_purgatory_requests", "", "api"), "{{api}} in purgatory"}),
			graph("Sizes of produce requests", "bytes", "Half of them are at most this large, and 99 %.", 12,
				query{quantile("0.5", "millrace_request_size_bytes", `,api="Produce"`, "instance"), "median {{instance}}"},
				query{quantile("0.99", "millrace_request_size_bytes", `,api="Produce"`, "instance"), "99 % {{instance}}"}),
			graph("Throttled", "percentunit", "For how long clients were told to rest because of a quota: 1 is one client that rests all the time.", 12,
				query{rate("millrace_quota_throttle_seconds_total", "", "kind"), "{{kind}}"}),
			graph("Connections muted", "short", "Connections that are not read from for now, because of a quota.", 12,
				query{gauge("millrace_connections_muted", "", "instance"), "{{instance}}"}),
			graph("Memory of requests", "bytes", "Taken by requests under way; bounded by queued.max.request.bytes.", 12,
				query{gauge("millrace_request_memory_bytes", "", "instance"), "{{instance}}"}),
		}},
		{"Storage", []panel{
			graph("Time to sync", "s", "What makes records durable. Produce waits for it.", 12,
				query{quantile("0.5", "millrace_log_fsync_duration_seconds", "", "instance"), "median {{instance}}"},
				query{quantile("0.99", "millrace_log_fsync_duration_seconds", "", "instance"), "99 % {{instance}}"}),
			graph("Time to append", "s", "Writing a batch to its log, without the sync.", 12,
				query{quantile("0.99", "millrace_log_append_duration_seconds", "", "instance"), "99 % {{instance}}"}),
			graph("Size of logs by topic", "bytes", "Without indexes.", 12, query{gauge("millrace_topic_log_bytes", "", "topic"), "{{topic}}"}),
			graph("Free disk", "bytes", "Room left on the data directory's disk.", 12, query{gauge("millrace_disk_free_bytes", "", "instance, dir"), "{{instance}} {{dir}}"}),
			graph("Deleted by retention", "Bps", "Bytes of old segments that retention deleted.", 12,
				query{rate("millrace_log_retention_deleted_bytes_total", "", "topic"), "{{topic}}"}),
			graph("Partitions by flush setting", "short", "With any but commit, acknowledged records may be lost in a power cut.", 12,
				query{gauge("millrace_partitions", "", "flush"), "{{flush}}"}),
		}},
		{"Transactions", []panel{
			graph("Transactions", "cps", "Transactions decided, by how. Those that time out or are fenced were given up by their producers.", 12,
				query{rate("millrace_transactions_total", "", "result"), "{{result}}"}),
			graph("Open transactions", "short", "Not decided yet; being decided, with markers still to be written; and those that began more than twice their timeout ago.", 12,
				query{gauge("millrace_transactions_open", "", "instance"), "open {{instance}}"},
				query{gauge("millrace_transactions_deciding", "", "instance"), "being decided {{instance}}"},
				query{gauge("millrace_transactions_overdue", "", "instance"), "overdue {{instance}}"}),
			graph("Oldest transaction", "s", "Consumers of committed records are at least that late in its partitions.", 12,
				query{"max by (instance) (millrace_transaction_oldest_seconds{" + here + "})", "{{instance}}"}),
			graph("Last stable offsets that do not move", "s", "For how long consumers of committed records have got nothing new although there is, in the topic's partition that has stood still for longest.", 12,
				query{"max by (topic) (millrace_last_stable_offset_stuck_seconds{" + here + "})", "{{topic}}"}),
			graph("Partitions behind", "short", "Partitions with records of a transaction that is not decided.", 12,
				query{gauge("millrace_partitions_unstable", "", "instance"), "{{instance}}"}),
			graph("Producers remembered", "short", "Transactional ids, and idempotent producers in all partitions. Clients that make new ids all the time let these grow.", 12,
				query{gauge("millrace_transactional_ids", "", "instance"), "transactional ids {{instance}}"},
				query{gauge("millrace_producer_ids", "", "instance"), "producers {{instance}}"}),
			graph("Time to end a transaction", "s", "Until the outcome is visible to all: the decision, the markers, and the syncs of both.", 12,
				query{quantile("0.5", "millrace_request_duration_seconds", `,api="EndTxn",phase="total"`, "instance"), "median {{instance}}"},
				query{quantile("0.99", "millrace_request_duration_seconds", `,api="EndTxn",phase="total"`, "instance"), "99 % {{instance}}"}),
			graph("Requests of transactions", "reqps", "With KIP-890 a transaction is one EndTxn, and partitions join with their first records.", 12,
				query{rate("millrace_requests_total", `,api=~"InitProducerId|AddPartitionsToTxn|AddOffsetsToTxn|TxnOffsetCommit|EndTxn"`, "api"), "{{api}}"}),
		}},
		{"Compaction and scrub", []panel{
			graph("Yet to be compacted", "bytes", "In closed segments of compacted topics. Compaction waits until enough of a log is dirty.", 12,
				query{gauge("millrace_compaction_backlog_bytes", "", "topic"), "{{topic}}"}),
			graph("What compaction leaves", "percentunit", "What the last compaction left of what it went through; 1 is all.", 12,
				query{"max by (topic) (millrace_compaction_ratio{" + here + "})", "{{topic}}"}),
			graph("Time of a compaction", "s", "Of one pass over a log.", 12,
				query{quantile("0.99", "millrace_compaction_duration_seconds", "", "instance"), "99 % {{instance}}"}),
			graph("Failed compactions", "short", "In five minutes. A log that is damaged is not tried again.", 12,
				query{"sum by (instance) (increase(millrace_compaction_failures_total{" + here + "}[5m]))", "{{instance}}"}),
			graph("Searched for damage", "Bps", "Sealed segments that the scrub reads again.", 12,
				query{rate("millrace_scrub_bytes_total", "", "instance"), "{{instance}}"}),
			graph("Damage found", "short", "Ranges of records that the scrub found damaged on disk since the start.", 12,
				query{gauge("millrace_log_corrupt_batches_total", "", "instance"), "{{instance}}"}),
		}},
		{"Process", []panel{
			graph("Processor", "percentunit", "1 is one processor, fully used.", 8,
				query{"rate(process_cpu_seconds_total{" + here + "}[$__rate_interval])", "{{instance}}"}),
			graph("Memory", "bytes", "Resident memory, and the part of it that is Go's heap.", 8,
				query{"process_resident_memory_bytes{" + here + "}", "resident {{instance}}"},
				query{"go_memstats_heap_inuse_bytes{" + here + "}", "heap {{instance}}"}),
			graph("Goroutines", "short", "Two for each connection at most, and a few more.", 8,
				query{"go_goroutines{" + here + "}", "{{instance}}"}),
		}},
	},
}

// chosen selects the groups that were chosen.
const chosen = `,group=~"$group"`

var groupsDashboard = dashboard{
	uid: "millrace-groups", title: "Millrace / Consumer groups",
	description: "How far consumer groups are behind, and how they live. Made by `millrace generate grafana groups`.",
	variables:   append([]dashboardVariable{{"group", "Group", "millrace_consumer_group_members"}}, brokerVariables...),
	rows: []dashboardRow{
		{"Lag", []panel{
			graph("Lag in time", "s", "Age of the oldest record that the group has yet to read: how late its results are. 0 if it has caught up.", 24,
				query{"max by (group, topic) (millrace_consumer_group_lag_seconds{" + here + chosen + "})", "{{group}} {{topic}}"}),
			graph("Lag in records", "short", "Records that the group has yet to read, without control records and what compaction removed.", 12,
				query{gauge("millrace_consumer_group_lag_records", chosen, "group, topic"), "{{group}} {{topic}}"}),
			graph("Lag in offsets", "short", "The high watermark less the committed offset, as Kafka's tools have it.", 12,
				query{gauge("millrace_consumer_group_lag_offsets", chosen, "group, topic"), "{{group}} {{topic}}"}),
			graph("Lags that are estimates", "short", "Lags in records that could not be counted in the time of a scrape.", 12,
				query{gauge("millrace_consumer_group_lag_estimates", "", "instance"), "{{instance}}"}),
			graph("Left out", "short", "Topics and groups that share the label _other, and partitions and lags without series.", 12,
				query{gauge("millrace_metrics_left_out", "", "kind"), "{{kind}}"}),
		}},
		{"Life", []panel{
			graph("Members", "short", "A group without members reads nothing.", 12, query{gauge("millrace_consumer_group_members", chosen, "group"), "{{group}}"}),
			graph("Groups by state", "short", "Those that stay in a rebalance have a member that does not answer.", 12,
				query{gauge("millrace_consumer_group_state", chosen, "state"), "{{state}}"}),
			graph("Rebalances in five minutes", "short", "By what started them. While one is under way, most assignors stop all members.", 12,
				query{"sum by (group, reason) (increase(millrace_consumer_group_rebalances_total{" + here + chosen + "}[5m]))", "{{group}} {{reason}}"}),
			graph("Offsets committed", "cps", "Thousands a second cost syncs: see the consumer's auto.commit.interval.ms.", 12,
				query{rate("millrace_offset_commits_total", chosen, "group"), "{{group}}"}),
		}},
		{"Requests of groups", []panel{
			graph("Time to commit offsets", "s", "With the sync of the disk in it.", 12,
				query{quantile("0.99", "millrace_request_duration_seconds", `,api="OffsetCommit",phase="total"`, "instance"), "99 % {{instance}}"}),
			graph("Requests of groups", "reqps", "Joins, heartbeats and commits.", 12,
				query{rate("millrace_requests_total", `,api=~"JoinGroup|SyncGroup|Heartbeat|LeaveGroup|OffsetCommit|OffsetFetch"`, "api"), "{{api}}"}),
		}},
	},
}
