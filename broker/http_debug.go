package broker

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

const (
	// flightBytesMax and flightAge bound what the flight recorder keeps of the past.
	flightBytesMax = 16 << 20
	flightAge      = 10 * time.Second
	// profileSecondsDefault and profileSecondsMax are for how long a profile of the processor is taken.
	profileSecondsDefault = 30
	profileSecondsMax     = 300
)

// debugPages are what developers look into a process with: /debug/pprof/ and /debug/flight.
//
// They are not those of net/http/pprof, because importing that package serves them on http.DefaultServeMux as well,
// which would be a surprise to who embeds a broker.
type debugPages struct{ recorder *trace.FlightRecorder }

// start starts the flight recorder. A process has one: a second broker with debug pages goes without.
func (d *debugPages) start() error {
	d.recorder = trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: flightAge, MaxBytes: flightBytesMax})
	return d.recorder.Start()
}

func (d *debugPages) stop() {
	if d.recorder.Enabled() {
		d.recorder.Stop()
	}
}

func (d *debugPages) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", d.index)
	mux.HandleFunc("GET /debug/pprof/{name}", d.snapshot)
	mux.HandleFunc("GET /debug/pprof/profile", d.profile)
	mux.HandleFunc("GET /debug/flight", d.flight)
}

func (d *debugPages) index(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "profile?seconds=N (go tool pprof URL); with ?debug=1 as text:")
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(w, "%s (%d)\n", p.Name(), p.Count())
	}
	fmt.Fprintln(w, "/debug/flight is the last seconds of the scheduler (go tool trace FILE)")
}

// snapshot answers with one of runtime/pprof's profiles: heap, goroutine, mutex, ...
func (d *debugPages) snapshot(w http.ResponseWriter, r *http.Request) {
	profile := pprof.Lookup(r.PathValue("name"))
	if profile == nil {
		http.NotFound(w, r)
		return
	}
	level, _ := strconv.Atoi(r.URL.Query().Get("debug")) // 0: protocol buffers
	if level == 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	_ = profile.WriteTo(w, level) // fails when the client has gone
}

// profile takes a profile of the processor for ?seconds=.
func (d *debugPages) profile(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.Atoi(r.URL.Query().Get("seconds"))
	if err != nil || seconds < 1 {
		seconds = profileSecondsDefault
	}
	length := time.Duration(min(seconds, profileSecondsMax)) * time.Second
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(length + httpRequestTimeout))
	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	select {
	case <-time.After(length):
	case <-r.Context().Done():
	}
	pprof.StopCPUProfile()
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(out.Bytes())
}

// flight answers with what the flight recorder has.
func (d *debugPages) flight(w http.ResponseWriter, _ *http.Request) {
	if !d.recorder.Enabled() {
		http.Error(w, "another broker of this process has the flight recorder", http.StatusConflict)
		return
	}
	var out bytes.Buffer
	if _, err := d.recorder.WriteTo(&out); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(out.Bytes())
}
