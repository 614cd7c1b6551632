package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// confirmation are the flags of a command that changes what cannot simply be changed back.
type confirmation struct {
	dryRun bool
	yes    bool
}

func (c *confirmation) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&c.dryRun, "dry-run", false, "say what would be done, do nothing")
	flags.BoolVarP(&c.yes, "yes", "y", false, "do not ask")
}

var errRefused = errors.New("nothing was changed")

// possible refuses, before anything is asked of the broker, what nobody could confirm: without a
// terminal --yes or --dry-run is needed. action says what is to be done ("delete topic x").
func (c *confirmation) possible(cmd *cobra.Command, action string) error {
	if c.dryRun || c.yes || isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr()) {
		return nil
	}
	return usage.Errorf("%s: cannot ask for confirmation without a terminal, add --yes to %s", commandName(cmd), action)
}

// ask lets a person decide on the terminal whether action is done. It returns errRefused if not.
func (c *confirmation) ask(cmd *cobra.Command, action string) error {
	if err := c.possible(cmd, action); err != nil || c.dryRun || c.yes {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s? [y/N] ", action)
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errRefused
	}
	return nil
}

// askAbout is ask with the plan to decide on, which is shown where the question is.
func (c *confirmation) askAbout(cmd *cobra.Command, plan output.Document, action string) error {
	if !c.dryRun && !c.yes {
		var text output.Options
		if err := text.Print(cmd.ErrOrStderr(), plan); err != nil {
			return err
		}
	}
	return c.ask(cmd, action)
}
