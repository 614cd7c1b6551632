package broker

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapesMax is how many scrapes are answered at the same time; further ones are refused, not queued.
	scrapesMax = 4
	// compatKafkaExporter adds the names of kafka_exporter (millrace.metrics.compat, /metrics?compat=).
	compatKafkaExporter = "kafka_exporter"
)

// metricsHandler answers /metrics: as millrace.metrics.compat says, or as the query's compat does.
type metricsHandler struct {
	own, withKafkaExporter http.Handler
	byDefault              string
}

func newMetricsHandler(b *Broker) *metricsHandler {
	main := newCollector(b)
	return &metricsHandler{
		own:               scrapeHandler(main),
		withKafkaExporter: scrapeHandler(main, &kafkaExporter{main}),
		byDefault:         b.config.MillraceMetricsCompat,
	}
}

func scrapeHandler(figures ...prometheus.Collector) http.Handler {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(figures...)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true, MaxRequestsInFlight: scrapesMax,
	})
}

func (h *metricsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	compat := h.byDefault
	if query := r.URL.Query(); query.Has("compat") {
		compat = query.Get("compat")
	}
	switch compat {
	case "none":
		h.own.ServeHTTP(w, r)
	case compatKafkaExporter:
		h.withKafkaExporter.ServeHTTP(w, r)
	default:
		http.Error(w, fmt.Sprintf("compat=%q is not known: none or %s", compat, compatKafkaExporter), http.StatusBadRequest)
	}
}
