package settings

import (
	"fmt"
	"strconv"
	"strings"
)

// parseProperties reads the format of java.util.Properties: key and value are split at the first
// '=', ':' or blank that no backslash escapes, a backslash at the end of a line continues it, lines
// that begin with '#' or '!' are comments. A key that is there twice has its last value, as in Java.
func parseProperties(data []byte, set func(line int, key, value string)) error {
	lines := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		first := i + 1
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], " \t\f")
		}
		rawKey, rawValue := splitProperty(line)
		key, err := unescape(rawKey)
		if err == nil {
			rawValue, err = unescape(rawValue)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", first, err)
		}
		if key == "" {
			return fmt.Errorf("line %d: no key before %q", first, rawValue)
		}
		set(first, key, strings.TrimRight(rawValue, " \t"))
	}
	return nil
}

// continues reports whether line ends in an odd number of backslashes.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

func splitProperty(line string) (key, value string) {
	end := 0
	for end < len(line) && !strings.ContainsRune("=: \t\f", rune(line[end])) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	value = strings.TrimLeft(line[end:], " \t\f")
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], " \t\f")
	}
	return line[:end], value
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if i+5 > len(s) {
				return "", fmt.Errorf(`%q needs four hex digits after \u`, s)
			}
			unit, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf(`%q needs four hex digits after \u`, s)
			}
			b.WriteRune(rune(unit))
			i += 4
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
