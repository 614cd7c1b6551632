// Package deploy is the files that put a broker into service, for `millrace generate` to print: the files of this
// directory are the only source.
package deploy

import _ "embed" // files as variables

// The files, each with comments that say how to use it.
var (
	//go:embed docker/Dockerfile
	Dockerfile []byte
	//go:embed docker/compose.yaml
	Compose []byte
	//go:embed systemd/millrace.service
	Systemd []byte
	//go:embed kubernetes/millrace.yaml
	Kubernetes []byte
	//go:embed millrace.yaml
	Config []byte // every setting with its default, commented out
)
