// Package e2e tests the real binary from outside, as a process on real disks, with clients that nobody here wrote:
// it is started, loaded, killed with -9 and started again, and what it acknowledged must be there.
//
// The clients are the programs in clients/, one folder each. A client whose runtime is absent is skipped with a line
// that says so, except where CI is set: there all run. setup.sh installs what they need.
package e2e
