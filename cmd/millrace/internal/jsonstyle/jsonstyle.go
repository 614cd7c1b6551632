// Package jsonstyle makes JSON easier on the eye: with indentation, with colours.
package jsonstyle

import (
	"bytes"
	"encoding/json"
)

// Style says how JSON is written.
type Style struct {
	Indent bool
	Color  bool
}

// Colours of the parts of JSON, as terminals take them.
const (
	colorKey    = "\x1b[34;1m"
	colorString = "\x1b[32m"
	colorNumber = "\x1b[36m"
	colorWord   = "\x1b[35m" // true, false, null
	colorEnd    = "\x1b[0m"
)

// Append appends text, which must be valid JSON, in the style.
func (s Style) Append(dst, text []byte) []byte {
	if s.Indent {
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "  "); err == nil {
			text = indented.Bytes()
		}
	}
	if !s.Color {
		return append(dst, text...)
	}
	for i := 0; i < len(text); {
		end := tokenEnd(text, i)
		color := colorOf(text, i, end)
		dst = append(dst, color...)
		dst = append(dst, text[i:end]...)
		if color != "" {
			dst = append(dst, colorEnd...)
		}
		i = end
	}
	return dst
}

// tokenEnd returns the end of the string, number or word that begins at i, else i+1.
func tokenEnd(text []byte, i int) int {
	if text[i] == '"' {
		for j := i + 1; j < len(text); j++ {
			switch text[j] {
			case '\\':
				j++
			case '"':
				return j + 1
			}
		}
		return len(text)
	}
	j := i
	for j < len(text) && bytes.IndexByte([]byte(`{}[],:" `+"\n\t\r"), text[j]) < 0 {
		j++
	}
	return max(j, i+1)
}

func colorOf(text []byte, i, end int) string {
	switch c := text[i]; {
	case c == '"':
		if rest := bytes.TrimLeft(text[end:], " "); len(rest) > 0 && rest[0] == ':' {
			return colorKey
		}
		return colorString
	case c == '-' || c >= '0' && c <= '9':
		return colorNumber
	case c >= 'a' && c <= 'z':
		return colorWord
	}
	return ""
}
