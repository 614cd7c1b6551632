package engine

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Whoever may not ask topics for their settings goes by Kafka's defaults; any other failure is one.
func TestSettingsThatMayNotBeAskedFor(t *testing.T) {
	answer := func(err error) describer {
		return func(context.Context, ...string) (kadm.ResourceConfigs, error) { return nil, err }
	}
	refusal := answer(&kadm.AuthError{Err: kerr.TopicAuthorizationFailed})
	if found, refused, err := settingsOf(t.Context(), refusal, []string{"a"}); found != nil || !errors.Is(refused, kerr.TopicAuthorizationFailed) || err != nil {
		t.Errorf("refused: %v, %v, %v", found, refused, err)
	}
	retentions, err := deleteRetentions(t.Context(), refusal, []string{"a", "b"})
	if want := map[string]int64{"a": deleteRetentionDefaultMs, "b": deleteRetentionDefaultMs}; !maps.Equal(retentions, want) || err != nil {
		t.Errorf("refused: retentions %v, %v", retentions, err)
	}
	if _, err := deleteRetentions(t.Context(), answer(context.DeadlineExceeded), []string{"a"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
}
