package main

import "os"

// isTerminal reports whether stream, a reader or writer, is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // the one character device that programs are often given
	return err != nil || !os.SameFile(info, null)
}
