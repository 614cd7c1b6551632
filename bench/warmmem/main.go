// warmmem touches memory before a measurement: on a virtual machine the first touch of a page the host has not backed
// yet costs microseconds, and a growing page cache or heap then measures the hypervisor. It writes a file of -gb and
// deletes it, so that the pages the next program takes are backed already, and prints the speed before and after.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/bench/internal/rep"
)

func main() {
	gb := flag.Int("gb", 10, "how much")
	dir := flag.String("dir", os.TempDir(), "where")
	flag.Parse()
	p := filepath.Join(*dir, fmt.Sprintf("warmmem-%d", os.Getpid()))
	b := make([]byte, 1<<20)
	write := func(mb int) float64 {
		f, err := os.Create(p)
		rep.Must(err)
		t0 := time.Now()
		for i := 0; i < mb; i++ {
			_, err := f.Write(b)
			rep.Must(err)
		}
		el := time.Since(t0).Seconds()
		f.Close()
		os.Remove(p)
		return float64(mb) * 1.048576 / el
	}
	first := write(*gb << 10)
	fmt.Printf("# memory warmed: %d GB at %.0f MB/s, then 1 GB at %.0f MB/s\n", *gb, first, write(1024))
}
