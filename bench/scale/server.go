package main

import (
	"encoding/binary"
	"flag"
	"io"
	"net"
	"os/exec"
	"syscall"
	"time"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
)

// server is the broker that is measured, a child process.
type server struct {
	command *exec.Cmd
	began   time.Time
}

// start runs the broker and returns when it answers.
func start() *server {
	s := &server{command: exec.Command(flag.Arg(0), flag.Args()[1:]...), began: time.Now()}
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	rep.Must(s.command.Start())
	for {
		conn, err := net.Dial("tcp", *address)
		if err == nil {
			rep.Must(ask(conn))
			conn.Close()
			return s
		}
		time.Sleep(time.Millisecond)
	}
}

// ask sends an ApiVersions request and reads the answer.
func ask(conn net.Conn) error {
	if _, err := conn.Write([]byte{0, 0, 0, 13, 0, 18, 0, 0, 0, 0, 0, 1, 0, 3, 'a', 'b', 'c'}); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:])))
	return err
}

// again stops the broker with a signal and starts it on what it left.
func (s *server) again(signal syscall.Signal) *server {
	_ = s.command.Process.Signal(signal)
	_ = s.command.Wait()
	return start()
}

func (s *server) kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

// tell prints what the broker holds and uses while nobody asks for anything.
func (s *server) tell(when string) {
	pid := s.command.Process.Pid
	time.Sleep(3 * time.Second) // what follows a start or a load
	before := proc.CPU(pid)
	time.Sleep(*idleFor)
	idle := (proc.CPU(pid) - before).Seconds() / idleFor.Seconds()
	now, _ := proc.Mem(pid)
	row(when+": resident", now, "MB")
	row(when+": processor when idle", idle*100, "% of a core")
}

// memory is what the broker holds, in MB.
func (s *server) memory() float64 {
	now, _ := proc.Mem(s.command.Process.Pid)
	return now
}
