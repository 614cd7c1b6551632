package disk

import "fmt"

// Kind is one kind of file operation.
type Kind uint8

// The operations of FS and File. Those up to OpSyncDir change something; the others only look.
const (
	OpCreate Kind = iota
	OpRemove
	OpRename
	OpMkdirAll
	OpWriteAt
	OpWriteDirect
	OpTruncate
	OpAllocate
	OpSyncData
	OpSync
	OpSyncDir
	OpOpen
	OpOpenWrite
	OpOpenDirect
	OpList
	OpStat
	OpLock
	OpUsage
	OpReadAt
	OpSize
	OpClose
)

var kindNames = [...]string{"create", "remove", "rename", "mkdirall", "writeat", "writedirect", "truncate", "allocate", "syncdata",
	"sync", "syncdir", "open", "openwrite", "opendirect", "list", "stat", "lock", "usage", "readat", "size", "close"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Call is one file operation with what it was called with.
type Call struct {
	Kind    Kind
	Name    string // of the file or directory
	NewName string // of a rename
	Offset  int64  // of a read or write; the new size of a truncate
	Bytes   int64  // of a read, write or allocate
}

// String shows the call on one line.
func (c Call) String() string {
	switch c.Kind {
	case OpRename:
		return fmt.Sprintf("%s %s -> %s", c.Kind, c.Name, c.NewName)
	case OpReadAt, OpWriteAt, OpWriteDirect:
		return fmt.Sprintf("%s %s [%d, %d)", c.Kind, c.Name, c.Offset, c.Offset+c.Bytes)
	case OpTruncate:
		return fmt.Sprintf("%s %s to %d", c.Kind, c.Name, c.Offset)
	default:
		return fmt.Sprintf("%s %s", c.Kind, c.Name)
	}
}
