package main

import (
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// hopeless are the answers of a coordinator that joining again does not change.
var hopeless = []error{
	kerr.FencedInstanceID, kerr.GroupAuthorizationFailed, kerr.GroupMaxSizeReached, kerr.InconsistentGroupProtocol,
	kerr.InvalidGroupID, kerr.InvalidSessionTimeout, kerr.TopicAuthorizationFailed, kerr.UnsupportedVersion,
}

// joinsAgain reports whether err is that a member dropped out of its group, which the client mends
// by itself: the broker went away, or took too long.
func joinsAgain(err error) bool {
	var session *kgo.ErrGroupSession
	return errors.As(err, &session) && !slices.ContainsFunc(hopeless, func(h error) bool { return errors.Is(err, h) })
}
