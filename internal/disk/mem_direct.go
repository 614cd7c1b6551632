package disk

// OpenDirect implements DirectFS.
func (m *Mem) OpenDirect(name string) (DirectFile, error) {
	f, err := m.open(name, true)
	if err != nil {
		return nil, err
	}
	return &memDirectFile{file: f.(*memFile)}, nil
}

type memDirectFile struct{ file *memFile }

func (f *memDirectFile) Name() string { return f.file.name }

func (f *memDirectFile) Close() error { return f.file.Close() }

// WriteBlocks is two operations: after the first a crash finds any part of the blocks, after the second all of them.
func (f *memDirectFile) WriteBlocks(offset int64, pieces [][]byte) error {
	length, err := checkBlocks(offset, pieces)
	if err != nil {
		return pathError("direct write", f.file.name, err)
	}
	if err := f.store(offset, pieces); err != nil {
		return err
	}
	if err := f.file.checkWrite("direct write", offset); err != nil {
		return err
	}
	defer f.file.operation(OpWriteDirect, offset, length)()
	f.file.content.syncRange(offset, offset+length)
	return nil
}

func (f *memDirectFile) store(offset int64, pieces [][]byte) error {
	if err := f.file.checkWrite("direct write", offset); err != nil {
		return err
	}
	defer f.file.operation(OpWriteDirect, offset, 0)()
	for _, piece := range pieces {
		if _, err := f.file.content.writeAt(piece, offset); err != nil {
			return pathError("direct write", f.file.name, err)
		}
		offset += int64(len(piece))
	}
	return nil
}
