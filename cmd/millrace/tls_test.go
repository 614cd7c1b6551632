package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
)

func TestABrokerBehindTLS(t *testing.T) {
	address, certificate := useTLSBroker(t)
	secure := []string{"-b", address, "-X", "security.protocol=SSL"}
	trusting := append(secure, "-X", "ssl.ca.location="+certificate)
	unnamed := append(trusting, "-X", "ssl.endpoint.identification.algorithm=none")
	for name, test := range map[string]struct {
		flags []string
		want  string // part of the error; "": none
	}{
		"no TLS":                     {secure[:2], "it closes the connection"},
		"another name":               {trusting, "cannot validate certificate for 127.0.0.1"},
		"any name":                   {unnamed, ""},
		"any certificate":            {append(secure, "-X", "enable.ssl.certificate.verification=false"), ""},
		"any name, unknown to all":   {append(secure, "-X", "ssl.endpoint.identification.algorithm="), "unknown authority"},
		"not a file of certificates": {append(secure, "-X", "ssl.ca.location=tls_test.go"), "tls_test.go holds no certificate in PEM form"},
	} {
		r := cli(t, "", append([]string{"topic", "list"}, test.flags...)...)
		if (r.code == 0) != (test.want == "") || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%s: exit code %d, stderr %q, want %q", name, r.code, r.stderr, test.want)
		}
	}
	ok(t, "a\n", append([]string{"produce", "t"}, unnamed...)...)
	if got := ok(t, "", append([]string{"consume", "t", "-e"}, unnamed...)...); got != "a\n" {
		t.Errorf("consumed %q", got)
	}
}

// useTLSBroker starts a broker behind a proxy that speaks TLS, and returns the address and the file
// of its certificate, which is for another name.
func useTLSBroker(t *testing.T) (address, file string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"broker.example"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: private}},
	})
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	b := startAdvertised(t, address)
	var proxying sync.WaitGroup
	proxying.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			proxying.Go(func() { forward(client, b.Addr().String()) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		if err := b.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
		proxying.Wait()
	})
	return address, file
}

// startAdvertised starts a broker that tells clients to connect to address. The caller closes it.
func startAdvertised(t *testing.T, address string) *broker.Broker {
	t.Helper()
	b, err := broker.New(broker.Options{
		InMemory: true, Listen: "127.0.0.1:0",
		Config: map[string]string{"group.initial.rebalance.delay.ms": "0", "advertised.listeners": "PLAINTEXT://" + address},
	})
	if err == nil {
		err = b.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}
