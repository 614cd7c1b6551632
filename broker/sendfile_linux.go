package broker

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// canSendFile says that the operating system can copy from a file to a socket.
const canSendFile = true

// sendFileChunk is the most that one call sends, so that a deadline bounds a part and not the whole of a large answer.
const sendFileChunk = 1 << 20

// sendFile sends up to size bytes of file from offset on through socket and returns how many it sent. The file's own
// position is neither used nor moved: many connections send from one file at once.
func sendFile(socket syscall.RawConn, file *os.File, offset int64, size int) (sent int, err error) {
	in := int(file.Fd())
	size = min(size, sendFileChunk)
	waitErr := socket.Write(func(out uintptr) bool {
		for sent < size {
			var n int
			n, err = unix.Sendfile(int(out), in, &offset, size-sent)
			switch {
			case n > 0:
				sent += n
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return false
			case err == nil:
				err = io.ErrUnexpectedEOF // the file is shorter than the range
				return true
			default:
				return true
			}
		}
		err = nil
		return true
	})
	if err == nil || errors.Is(err, unix.EAGAIN) {
		err = waitErr
	}
	return sent, err
}

// sendMore writes b and tells the kernel that more follows at once, so that the head of an answer does not leave
// in a packet of its own.
func sendMore(socket syscall.RawConn, b []byte) (err error) {
	waitErr := socket.Write(func(out uintptr) bool {
		for len(b) > 0 {
			var n int
			n, err = unix.SendmsgN(int(out), b, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			switch {
			case err == nil:
				b = b[n:]
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return false
			default:
				return true
			}
		}
		return true
	})
	if err == nil || errors.Is(err, unix.EAGAIN) {
		err = waitErr
	}
	return err
}
