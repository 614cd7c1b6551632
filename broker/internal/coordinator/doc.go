// Package coordinator runs pure state machines on the partitions of an internal topic: it replays a partition into a
// machine, hands operations to it one after the other, appends the records that it makes, lets answers out once what
// they rest on is committed, and wakes the machine for its deadlines.
//
// Operations do not wait for one another's commits: the machine goes on with state that is appended and not yet
// committed, and every answer, of reads too, is held back until all that was appended before it is committed. So many
// operations share one sync, and nobody outside ever sees what a crash could take back.
package coordinator
