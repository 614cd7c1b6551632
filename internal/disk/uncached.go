package disk

// UncachedFS is an FS that can read past the page cache.
type UncachedFS interface {
	FS
	// OpenUncached opens an existing file for reads that come from the disk itself and push nothing out of the page
	// cache, where the file system can do that; elsewhere it is Open. Offsets, lengths and addresses of reads are
	// multiples of DirectBlock (see AlignedBuffer); a read at the end of the file comes short with io.EOF.
	OpenUncached(name string) (File, error)
}

// OpenUncached opens a file for reads past the page cache if the file system has them, else as any other.
func OpenUncached(fsys FS, name string) (File, error) {
	if uncached, ok := fsys.(UncachedFS); ok {
		return uncached.OpenUncached(name)
	}
	return fsys.Open(name)
}
