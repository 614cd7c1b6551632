//go:build !linux

package freeport

import (
	"net"
	"testing"
)

// Address returns a TCP address of the loopback where nobody listens at the moment.
func Address(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
