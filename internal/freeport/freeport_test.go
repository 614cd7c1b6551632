package freeport

import (
	"net"
	"testing"
)

func TestAddressIsOursToListenAtAgainAndAgain(t *testing.T) {
	address := Address(t)
	if other := Address(t); other == address {
		t.Fatalf("%s was given twice", address)
	}
	for range 3 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Fatalf("somebody listens at %s", address)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		listener.Close()
	}
}
