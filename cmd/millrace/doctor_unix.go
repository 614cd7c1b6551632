//go:build unix

package main

import "syscall"

// descriptorLimit is how many files the broker may have open: Go raises the soft limit to the hard one.
func descriptorLimit() (uint64, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return uint64(limit.Max), true
}
