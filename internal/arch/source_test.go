package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/millrace/millrace"
	root   = "../.."
)

// source is one Go file of the module.
type source struct {
	name    string // path below the root of the module
	isTest  bool
	lines   int
	imports []string
	files   *token.FileSet
	syntax  *ast.File
}

// directory is the package's path below the root of the module.
func (s source) directory() string { return path.Dir(s.name) }

func (s source) line(p token.Pos) string {
	return s.name + ":" + strconv.Itoa(s.files.Position(p).Line)
}

// load parses every Go file below tree but those of nested modules, of testdata and of hidden directories.
func load(t *testing.T, tree fs.FS) []source {
	t.Helper()
	var sources []source
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if skipped(tree, name) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		s, err := parse(tree, name)
		if err != nil {
			return err
		}
		sources = append(sources, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func skipped(tree fs.FS, directory string) bool {
	if directory == "." {
		return false
	}
	base := path.Base(directory)
	_, err := fs.Stat(tree, path.Join(directory, "go.mod"))
	return base == "testdata" || base[0] == '.' || base[0] == '_' || err == nil
}

func parse(tree fs.FS, name string) (source, error) {
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		return source{}, err
	}
	s := source{
		name:   name,
		isTest: strings.HasSuffix(name, "_test.go"),
		lines:  strings.Count(string(text), "\n"),
		files:  token.NewFileSet(),
	}
	s.syntax, err = parser.ParseFile(s.files, name, text, parser.ParseComments)
	if err != nil {
		return source{}, err
	}
	for _, spec := range s.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.imports = append(s.imports, imported)
	}
	return s, nil
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// localName is what the file calls the imported package, "" if it does not import it.
func (s source) localName(imported string) string {
	for _, spec := range s.syntax.Imports {
		if spec.Path.Value != strconv.Quote(imported) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		if base := path.Base(imported); !majorVersion.MatchString(base) {
			return base
		}
		return path.Base(path.Dir(imported))
	}
	return ""
}

// uses returns the places where the file names one of the members of the imported package.
func (s source) uses(imported string, members ...string) []token.Pos {
	local := s.localName(imported)
	if local == "" {
		return nil
	}
	var found []token.Pos
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if base, ok := selector.X.(*ast.Ident); ok && base.Name == local && slices.Contains(members, selector.Sel.Name) {
			found = append(found, selector.Pos())
		}
		return true
	})
	return found
}

func TestTheModuleKeepsItsShape(t *testing.T) {
	sources := load(t, os.DirFS(root))
	if len(sources) < 50 {
		t.Fatalf("found only %d files below %s", len(sources), root)
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, violation := range rule.check(sources) {
				t.Error(violation)
			}
		})
	}
}
