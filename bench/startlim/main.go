// startlim starts a server some times and prints how long it took until it accepted a connection, until it answered a
// first Kafka ApiVersions request (with -kafka), and what memory it held a second later.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:27092", "where it will listen")
	kafka := flag.Bool("kafka", true, "wait for an answer to ApiVersions")
	n := flag.Int("n", 7, "starts")
	clean := flag.String("clean", "", "a directory to delete before each start")
	flag.Parse()
	rep.Header()
	var acc, ans, mem []float64
	for r := 0; r <= *n; r++ {
		if *clean != "" {
			os.RemoveAll(*clean)
		}
		c := exec.Command(flag.Arg(0), flag.Args()[1:]...)
		t0 := time.Now()
		rep.Must(c.Start())
		var conn net.Conn
		for {
			var err error
			if conn, err = net.Dial("tcp", *addr); err == nil {
				break
			}
			if time.Since(t0) > 60*time.Second {
				rep.Must(fmt.Errorf("it does not listen"))
			}
			time.Sleep(300 * time.Microsecond)
		}
		a := time.Since(t0)
		if *kafka {
			_, err := conn.Write([]byte{0, 0, 0, 13, 0, 18, 0, 0, 0, 0, 0, 1, 0, 3, 'a', 'b', 'c'})
			rep.Must(err)
			var h [4]byte
			_, err = io.ReadFull(conn, h[:])
			rep.Must(err)
			_, err = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(h[:])))
			rep.Must(err)
		}
		b := time.Since(t0)
		conn.Close()
		time.Sleep(time.Second)
		now, _ := proc.Mem(c.Process.Pid)
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
		if r > 0 {
			acc = append(acc, float64(a.Microseconds())/1e3)
			ans = append(ans, float64(b.Microseconds())/1e3)
			mem = append(mem, now)
		}
	}
	rep.Row("start until it accepts", "ms", acc)
	rep.Row("start until the first answer", "ms", ans)
	rep.Row("resident a second later", "MB", mem)
}
