package disk

// OpenDirect implements DirectFS; errors.ErrUnsupported if the inner file system does not.
func (f *Faults) OpenDirect(name string) (opened DirectFile, err error) {
	err = f.run(Call{Kind: OpOpenDirect, Name: name}, func() (err error) {
		opened, err = OpenDirect(f.inner, name)
		return err
	})
	if err != nil {
		if opened != nil {
			opened.Close()
		}
		return nil, err
	}
	return &faultyDirectFile{faults: f, inner: opened}, nil
}

// OpenUncached implements UncachedFS. It counts as an Open.
func (f *Faults) OpenUncached(name string) (File, error) {
	return f.opening(Call{Kind: OpOpen, Name: name}, func(name string) (File, error) { return OpenUncached(f.inner, name) })
}

type faultyDirectFile struct {
	faults *Faults
	inner  DirectFile
}

func (f *faultyDirectFile) Name() string { return f.inner.Name() }

// WriteBlocks implements DirectFile. What ShortBytes says is stored in whole blocks, as the hardware does.
func (f *faultyDirectFile) WriteBlocks(offset int64, pieces [][]byte) error {
	length := int64(0)
	for _, piece := range pieces {
		length += int64(len(piece))
	}
	call := Call{Kind: OpWriteDirect, Name: f.inner.Name(), Offset: offset, Bytes: length}
	rule := f.faults.due(call)
	if rule == nil {
		return f.inner.WriteBlocks(offset, pieces)
	}
	written := min(rule.ShortBytes, length) / DirectBlock * DirectBlock
	if rule.Performed {
		written = length
	}
	for _, piece := range pieces {
		part := piece[:min(int64(len(piece)), written)]
		if len(part) == 0 {
			break
		}
		if err := f.inner.WriteBlocks(offset, [][]byte{part}); err != nil {
			return err
		}
		offset, written = offset+int64(len(part)), written-int64(len(part))
	}
	return rule.error(call)
}

// Close closes the file even when it reports an error.
func (f *faultyDirectFile) Close() error {
	call := Call{Kind: OpClose, Name: f.inner.Name()}
	rule := f.faults.due(call)
	if err := f.inner.Close(); err != nil || rule == nil {
		return err
	}
	return rule.error(call)
}
