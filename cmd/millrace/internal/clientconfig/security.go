package clientconfig

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

var (
	protocols  = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}
	mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
)

// security returns the options for TLS and SASL. Settings of either that the protocol does not use are
// refused: whoever wrote them believes to be protected.
func (c *Config) security() ([]kgo.Opt, error) {
	protocol := strings.ToUpper(c.values["security.protocol"])
	if protocol == "" {
		protocol = "PLAINTEXT"
	}
	var options []kgo.Opt
	encrypted, authenticated := strings.HasSuffix(protocol, "SSL"), strings.HasPrefix(protocol, "SASL")
	for name := range c.values {
		if strings.HasPrefix(name, "ssl.") && !encrypted || strings.HasPrefix(name, "sasl.") && !authenticated {
			return nil, usage.Errorf("%s: %s has no effect with security.protocol=%s", c.sources[name], name, protocol)
		}
	}
	if encrypted {
		config, err := c.tls()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.DialTLSConfig(config))
	}
	if authenticated {
		mechanism, err := c.sasl()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(mechanism))
	}
	return options, nil
}

func (c *Config) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := c.values["ssl.ca.location"]; file != "" {
		certificates, err := os.ReadFile(file)
		if err != nil {
			return nil, usage.Errorf("ssl.ca.location: %v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(certificates) {
			return nil, usage.Errorf("ssl.ca.location: %s holds no certificate in PEM form", file)
		}
	}
	certificate, private := c.values["ssl.certificate.location"], c.values["ssl.key.location"]
	if (certificate == "") != (private == "") {
		return nil, usage.Errorf("ssl.certificate.location and ssl.key.location need each other")
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, private)
		if err != nil {
			return nil, usage.Errorf("ssl.certificate.location: %v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	algorithm, named := c.values["ssl.endpoint.identification.algorithm"]
	switch {
	case strings.EqualFold(c.values["enable.ssl.certificate.verification"], "false"):
		config.InsecureSkipVerify = true
	case named && !strings.EqualFold(algorithm, "https"):
		config.InsecureSkipVerify = true // replaced by the check of the chain alone
		config.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, config.RootCAs) }
	}
	return config, nil
}

// verifyChain checks who signed the certificate of the other side, whatever name it has.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
	return err
}

func (c *Config) sasl() (sasl.Mechanism, error) {
	user, password := c.values["sasl.username"], c.values["sasl.password"]
	if module := c.values["sasl.jaas.config"]; module != "" && user == "" {
		user, password, _ = parseLoginModule(module)
	}
	if user == "" || password == "" {
		return nil, usage.Errorf("security.protocol=%s needs sasl.username and sasl.password", c.values["security.protocol"])
	}
	switch mechanism := strings.ToUpper(c.values["sasl.mechanism"]); mechanism {
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	}
	return nil, usage.Errorf("security.protocol=%s needs sasl.mechanism, one of %s", c.values["security.protocol"], strings.Join(mechanisms, ", "))
}

// loginOption is username="..." in a login module of Java.
var loginOption = regexp.MustCompile(`\b(username|password)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)')`)

func parseLoginModule(module string) (user, password string, err error) {
	for _, found := range loginOption.FindAllStringSubmatch(module, -1) {
		value := regexp.MustCompile(`\\(.)`).ReplaceAllString(found[2], "$1") + found[3]
		if found[1] == "username" {
			user = value
		} else {
			password = value
		}
	}
	if user == "" || password == "" {
		return "", "", fmt.Errorf(`no username="..." and password="..." in it`)
	}
	return user, password, nil
}

func loginModule(value string) ([]kgo.Opt, error) {
	_, _, err := parseLoginModule(value)
	return nil, err
}
