package main

import (
	"errors"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestOnlyWhatTheClientMendsIsPassedOver(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{&kgo.ErrGroupSession{Err: io.EOF}, true},
		{&kgo.ErrGroupSession{Err: kerr.UnknownMemberID}, true},
		{&kgo.ErrGroupSession{Err: kerr.InvalidGroupID}, false},
		{&kgo.ErrGroupSession{Err: kerr.GroupAuthorizationFailed}, false},
		{&kgo.ErrDataLoss{}, false},
		{errors.New("other"), false},
	} {
		if got := joinsAgain(test.err); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
}
