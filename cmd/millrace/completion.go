package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newCompletionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for a shell",
		Long: `Print a script that makes a shell complete commands, flags, topics and groups.

  bash:        source <(millrace completion bash)
  zsh:         millrace completion zsh > "${fpath[1]}/_millrace"
  fish:        millrace completion fish > ~/.config/fish/completions/millrace.fish
  powershell:  millrace completion powershell | Out-String | Invoke-Expression`,
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return fmt.Errorf("needs a shell: bash, zsh, fish or powershell")
			case !slices.Contains(shells, args[0]):
				return usage.Unknown("shell", args[0], shells)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeCompletion(cmd.Root(), args[0], cmd.OutOrStdout())
		},
	}
}

func writeCompletion(root *cobra.Command, shell string, w io.Writer) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	}
	return root.GenPowerShellCompletionWithDesc(w)
}

// completeMax bounds how long the shell waits for names from the broker.
const completeMax = 500 * time.Millisecond

type completer func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// completeTopics completes positional arguments with the names of topics.
func (c *connection) completeTopics() completer {
	return c.complete(func(ctx context.Context, client *kadm.Client) ([]string, error) {
		topics, err := client.ListTopics(ctx)
		return topics.Names(), err
	})
}

// completeTopicThenFiles completes the first argument with a topic, the others with files.
func (c *connection) completeTopicThenFiles() completer {
	topics := c.completeTopics()
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return topics(cmd, args, word)
	}
}

// completeGroups completes positional arguments with the names of groups.
func (c *connection) completeGroups() completer {
	return c.complete(func(ctx context.Context, client *kadm.Client) ([]string, error) {
		groups, err := client.ListGroups(ctx)
		return groups.Groups(), err
	})
}

func (c *connection) complete(list func(context.Context, *kadm.Client) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeMax)
		defer cancel()
		var names []string
		err := c.admin(ctx, func(ctx context.Context, client *kadm.Client) (err error) {
			names, err = list(ctx, client)
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return without(names, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// without returns the names that are not among args.
func without(names, args []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) })
}
