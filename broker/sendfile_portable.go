//go:build !linux

package broker

import (
	"errors"
	"os"
	"syscall"
)

// canSendFile says that the operating system can copy from a file to a socket. Elsewhere than on Linux answers are
// read into memory and written from there.
const canSendFile = false

func sendFile(syscall.RawConn, *os.File, int64, int) (int, error) { return 0, errors.ErrUnsupported }

func sendMore(syscall.RawConn, []byte) error { return errors.ErrUnsupported }
