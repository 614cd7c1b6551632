package windows

// Emission says when the result of a window is passed on.
type Emission int

const (
	// OnUpdate passes on every change of a window. It is the default.
	OnUpdate Emission = iota
	// OnClose passes on one result for each window, once it is closed and nothing can change it any more.
	OnClose
)

// String returns "on update" or "on close".
func (e Emission) String() string {
	if e == OnClose {
		return "on close"
	}
	return "on update"
}
