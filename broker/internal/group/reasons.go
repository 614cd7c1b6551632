package group

// Reason is why a rebalance was started.
type Reason int8

// The reasons.
const (
	reasonMemberJoined Reason = iota
	reasonMemberRejoined
	reasonLeaderRejoined
	reasonMetadataChanged
	reasonProtocolChanged
	reasonStaticReplaced
	reasonMembersLeft
	reasonSessionExpired
	reasonSyncTimedOut
	reasonGroupTooLarge
	reasonAssignmentUnwritten

	Reasons = 11 // how many there are
)

// String is the reason as metrics and the log have it.
func (r Reason) String() string {
	return [Reasons]string{"member_joined", "member_rejoined", "leader_rejoined", "metadata_changed", "protocol_changed",
		"static_member_replaced", "members_left", "session_expired", "sync_timed_out", "group_too_large",
		"assignment_not_written"}[r]
}
