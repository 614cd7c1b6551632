package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes besides usage.ExitCode and those of signals.
const (
	exitOK      = 0
	exitFailure = 1
)

// errReported is a failure whose every detail is on stderr already.
var errReported = errors.New("failed")

// run executes one command line and returns the exit code. Data goes to stdout, everything else to
// stderr. When ctx ends, the command stops where it can do so cleanly.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	return report(ctx, stderr, err)
}

// report writes err to stderr as one line and returns its exit code.
func report(ctx context.Context, stderr io.Writer, err error) int {
	var stopped *signalError
	var wrong *usage.Error
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailure
	case errors.As(context.Cause(ctx), &stopped) && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "millrace: interrupted")
		return stopped.exitCode()
	case errors.As(err, &wrong):
		fmt.Fprintln(stderr, "millrace: "+oneLine(err))
		return usage.ExitCode
	}
	fmt.Fprintln(stderr, "millrace: "+oneLine(err))
	return exitFailure
}

// notes is where a command writes what is neither data nor an error: stderr, or nowhere with -q.
func notes(cmd *cobra.Command) io.Writer {
	if quiet, err := cmd.Flags().GetBool("quiet"); err == nil && quiet {
		return io.Discard
	}
	return cmd.ErrOrStderr()
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func newRootCommand() *cobra.Command {
	c := &connection{}
	root := newParentCommand("millrace", "A Kafka-compatible broker and its tools",
		newServeCommand(),
		newProduceCommand(c),
		newConsumeCommand(c),
		newCopyCommand(c),
		newTopicCommand(c),
		newGroupCommand(c),
		newTxnCommand(c),
		newStreamsCommand(c),
		newClusterCommand(c),
		newProfileCommand(c),
		newLogCommand(),
		newBenchCommand(c),
		newDemoCommand(), newDemoWorkerCommand(),
		newDoctorCommand(c),
		newGenerateCommand(),
		newVersionCommand(),
		newCompletionCommand(),
	)
	c.addFlags(root.PersistentFlags())
	root.PersistentFlags().BoolP("quiet", "q", false, "leave out notes on stderr, such as summaries; errors stay")
	c.completeFlags(root)
	root.SilenceErrors, root.SilenceUsage, root.DisableSuggestions = true, true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.SetFlagErrorFunc(flagError)
	namePositionErrors(root)
	return root
}

// newParentCommand returns a command that only holds others.
func newParentCommand(use, short string, children ...*cobra.Command) *cobra.Command {
	parent := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return usage.Errorf("%sneeds a command: %s (see %s --help)", prefixOf(cmd), strings.Join(commandNames(cmd), ", "), cmd.CommandPath())
		},
	}
	parent.AddCommand(children...)
	return parent
}

func unknownCommand(cmd *cobra.Command, word string) error {
	return usage.Errorf("%s%v", prefixOf(cmd), usage.Unknown("command", word, commandNames(cmd)))
}

// prefixOf begins messages about cmd.
func prefixOf(cmd *cobra.Command) string {
	if name := commandName(cmd); name != "" {
		return name + ": "
	}
	return ""
}

// commandName is how messages call cmd: its path without the program.
func commandName(cmd *cobra.Command) string {
	_, name, _ := strings.Cut(cmd.CommandPath(), " ")
	return name
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "help" {
			names = append(names, child.Name())
		}
	}
	return names
}

// flagError turns what the flag parser says into one line that names the flag.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() && len(cmd.Flags().Args()) > 0 {
		return unknownCommand(cmd, cmd.Flags().Args()[0]) // its flags are unknown only because it is
	}
	prefix := prefixOf(cmd)
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var lacking *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		if unknown.GetSpecifiedShortnames() != "" {
			return usage.Errorf("%sunknown flag -%s (see %s --help)", prefix, unknown.GetSpecifiedName(), cmd.CommandPath())
		}
		return usage.Errorf("%sunknown flag --%s%s", prefix, unknown.GetSpecifiedName(), nearestFlag(cmd, unknown.GetSpecifiedName()))
	case errors.As(err, &invalid):
		return usage.Errorf("%s%s: %s", prefix, flagName(invalid.GetFlag()), invalidValue(invalid))
	case errors.As(err, &lacking):
		return usage.Errorf("%s%s needs a value", prefix, flagName(lacking.GetFlag()))
	}
	return usage.Errorf("%s%v", prefix, err)
}

func invalidValue(invalid *pflag.InvalidValueError) string {
	var wrong *usage.Error
	if errors.As(invalid, &wrong) {
		return wrong.Error()
	}
	kind := map[string]string{
		"int": "a whole number", "int32": "a whole number", "int64": "a whole number", "uint64": "a whole number from 0", "float64": "a number",
		"bool": "true or false", "duration": "a duration like 1.5s or 2m",
	}[invalid.GetFlag().Value.Type()]
	if kind == "" {
		return fmt.Sprintf("%q: %v", invalid.GetValue(), invalid.Unwrap())
	}
	return fmt.Sprintf("%q is not %s", invalid.GetValue(), kind)
}

func flagName(flag *pflag.Flag) string {
	if flag.Shorthand != "" {
		return "-" + flag.Shorthand
	}
	return "--" + flag.Name
}

func nearestFlag(cmd *cobra.Command, name string) string {
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, "--"+flag.Name)
		}
	})
	if near := usage.Nearest("--"+name, names); near != "" {
		return fmt.Sprintf(", did you mean %s?", near)
	}
	return fmt.Sprintf(" (see %s --help)", cmd.CommandPath())
}

// namePositionErrors makes every complaint about positional arguments in the tree a usage error
// that names the command.
func namePositionErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage.Errorf("%s: %v (see %s --help)", commandName(cmd), err, cmd.CommandPath())
			}
			return nil
		}
	}
	for _, child := range cmd.Commands() {
		namePositionErrors(child)
	}
}

// atLeastOne requires one positional argument or more; what names them ("TOPIC").
func atLeastOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("needs a %s", what)
		}
		return noEmpty(what, args)
	}
}

func noEmpty(what string, args []string) error {
	for _, arg := range args {
		if arg == "" {
			return fmt.Errorf("an empty %s", what)
		}
	}
	return nil
}

// noArgument refuses positional arguments.
func noArgument(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no argument, found %q", args[0])
	}
	return nil
}
