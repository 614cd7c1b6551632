package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ReadFile stores the settings of the file name: YAML if its name ends in .yaml or .yml, else Java
// properties, as Kafka's server.properties.
func (s *Settings) ReadFile(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	set := func(line int, key, value string) {
		s.Set(key, value, Source{File, name + " line " + strconv.Itoa(line)})
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml":
		err = parseYAML(data, set)
	default:
		err = parseProperties(data, set)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// parseYAML reads one mapping, the only document. Nested mappings join their keys with dots; a list of scalars is
// joined with commas, as Kafka writes lists.
func parseYAML(data []byte, set func(line int, key, value string)) error {
	var document, another yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = decoder.Decode(&another)
	}
	switch {
	case err == nil:
		return fmt.Errorf("line %d: a second document; put all settings into the first", another.Line)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("%s", strings.Join(strings.Fields(err.Error()), " "))
	}
	return flatten("", document.Content[0], map[string]bool{}, set)
}

func flatten(prefix string, node *yaml.Node, seen map[string]bool, set func(line int, key, value string)) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: not a mapping of settings", node.Line)
	}
	for i := 0; i < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		key := prefix + name.Value
		if name.Kind != yaml.ScalarNode || name.Value == "" {
			return fmt.Errorf("line %d: not the name of a setting", name.Line)
		}
		if seen[key] {
			return fmt.Errorf("line %d: %s is there twice", name.Line, key)
		}
		seen[key] = true
		if value.Kind == yaml.MappingNode {
			if err := flatten(key+".", value, seen, set); err != nil {
				return err
			}
			continue
		}
		text, err := scalarText(value)
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", value.Line, key, err)
		}
		set(name.Line, key, text)
	}
	return nil
}

// scalarText takes scalars as they are written: 1_000 and 0x10 are for the broker to judge.
func scalarText(node *yaml.Node) (string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return "", nil
		}
		return node.Value, nil
	case yaml.SequenceNode:
		var items []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return "", fmt.Errorf("a list must hold plain values")
			}
			items = append(items, item.Value)
		}
		return strings.Join(items, ","), nil
	}
	return "", fmt.Errorf("must be a plain value or a list")
}
