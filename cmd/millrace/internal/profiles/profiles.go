// Package profiles keeps named sets of client settings: one YAML file each, and one that says which
// of them is in use.
package profiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/settings"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"go.yaml.in/yaml/v3"
)

// Store is a directory of profiles, which need not exist.
type Store struct{ dir string }

// Open returns the store of this user: $XDG_CONFIG_HOME/millrace, else ~/.config/millrace.
func Open() (*Store, error) {
	if dir := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return &Store{filepath.Join(dir, "millrace")}, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("%w; set XDG_CONFIG_HOME", err)
	}
	return &Store{filepath.Join(home, ".config", "millrace")}, nil
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// Path returns the file of a profile, which need not exist. A name that cannot be one is a *usage.Error.
func (s *Store) Path(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", usage.Errorf("%q is no name of a profile (letters, digits, _ . -)", name)
	}
	return filepath.Join(s.dir, "profiles", name+".yaml"), nil
}

// Names returns all profiles, sorted.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "profiles"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if name, found := strings.CutSuffix(entry.Name(), ".yaml"); found && validName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Read adds the settings of a profile to config. One that does not exist is a *usage.Error that names
// the nearest.
func (s *Store) Read(name string, config *clientconfig.Config) error {
	path, err := s.Path(name)
	if err != nil {
		return err
	}
	var read settings.Settings
	if err := read.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
		return s.unknown(name)
	} else if err != nil {
		return usage.Errorf("profile %q: %v", name, err)
	}
	return config.SetAll(&read)
}

func (s *Store) unknown(name string) error {
	names, err := s.Names()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return usage.Errorf("unknown profile %q; there are none, make one with `millrace profile create`", name)
	}
	return usage.Unknown("profile", name, names)
}

// Create stores a new profile, readable by its owner only: it may hold a password.
func (s *Store) Create(name string, values map[string]string) error {
	path, err := s.Path(name)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(values)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("profile %q exists, delete it first", name)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// Delete removes a profile, and no longer uses it.
func (s *Store) Delete(name string) error {
	path, err := s.Path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return s.unknown(name)
	} else if err != nil {
		return err
	}
	if current, err := s.Current(); err != nil || current != name {
		return err
	}
	return s.Use("")
}

// Current returns the profile in use, "" if there is none.
func (s *Store) Current() (string, error) {
	text, err := os.ReadFile(s.current())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}

// Use makes a profile, which must exist, the one in use; "" uses none.
func (s *Store) Use(name string) error {
	if name == "" {
		if err := os.Remove(s.current()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	path, err := s.Path(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return s.unknown(name)
	} else if err != nil {
		return err
	}
	return os.WriteFile(s.current(), []byte(name+"\n"), 0o600)
}

func (s *Store) current() string { return filepath.Join(s.dir, "profile") }
