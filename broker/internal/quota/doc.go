// Package quota says how much of the broker a client may use (KIP-13, KIP-124, KIP-546, KIP-599, KIP-612), and
// measures how much it does. It is pure: time is an argument, as the time since some fixed moment.
//
// Limits are what was set: values for entities, of which the most specific one counts for a client. Meters are what
// was used: a rate over sampled windows, or a bucket of tokens. What to do about a client that uses too much, the
// caller decides; it is told for how long the client should rest.
package quota
