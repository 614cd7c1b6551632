package main

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/settings"
)

const (
	listenersKey  = "listeners"
	advertisedKey = "advertised.listeners"
	// advertisedVariable is the one that compose files made for Kafka always have.
	advertisedVariable = "KAFKA_ADVERTISED_LISTENERS"
)

// addresses decides where to listen: the flag or its variable wins over the setting listeners.
func (f *serveFlags) addresses(plan *servePlan, changed func(string) bool) {
	if changed("listen") {
		plan.settings.Delete(listenersKey)
		plan.options.Listen = f.listen
	} else {
		deriveListeners(plan.settings)
		dropAdvertised(plan.settings)
	}
	if f.http != noHTTP {
		plan.options.HTTP = f.http
	}
	plan.options.Debug = f.debug
}

// deriveListeners does what Confluent's image does for compose files that only say what to advertise: it listens on the
// ports of KAFKA_ADVERTISED_LISTENERS. A file's listeners stay if they have all of those names.
func deriveListeners(s *settings.Settings) {
	advertised, source := s.Value(advertisedKey), s.Source(advertisedKey)
	if !strings.HasSuffix(source.Text, advertisedVariable) || s.Source(listenersKey).Kind >= source.Kind {
		return
	}
	known := listenerNames(s.Value(listenersKey))
	var derived []string
	missing := false
	for element := range strings.SplitSeq(advertised, ",") {
		name, address, _ := strings.Cut(strings.TrimSpace(element), "://")
		missing = missing || !slices.Contains(known, strings.ToUpper(name))
		port := address[strings.LastIndexByte(address, ':')+1:]
		derived = append(derived, name+"://0.0.0.0:"+port)
	}
	if missing {
		s.Set(listenersKey, strings.Join(derived, ","), source)
	}
}

// dropAdvertised forgets a file's advertised addresses of listeners that the environment or the command line have
// replaced.
func dropAdvertised(s *settings.Settings) {
	source := s.Source(advertisedKey)
	if source.Kind != settings.File || s.Source(listenersKey).Kind <= source.Kind {
		return
	}
	known := listenerNames(s.Value(listenersKey))
	kept := slices.DeleteFunc(strings.Split(s.Value(advertisedKey), ","), func(element string) bool {
		return !slices.Contains(known, listenerNames(element)[0])
	})
	if len(kept) == 0 {
		s.Delete(advertisedKey)
		return
	}
	s.Set(advertisedKey, strings.Join(kept, ","), source)
}

// listenerNames are the names in a list of NAME://host:port, in upper case.
func listenerNames(list string) []string {
	var names []string
	for element := range strings.SplitSeq(list, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(element), "://")
		names = append(names, strings.ToUpper(name))
	}
	return names
}
