package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newCompletionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for a shell",
		Long: `Print a script that makes a shell complete commands, flags, topics, groups and profiles.

  bash:        source <(millrace completion bash)    (needs the package bash-completion)
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

// completeTransactions completes positional arguments with transactional ids.
func (c *connection) completeTransactions() completer {
	return c.complete(func(ctx context.Context, client *kadm.Client) ([]string, error) {
		transactions, err := client.ListTransactions(ctx, nil, nil)
		return transactions.TransactionalIDs(), err
	})
}

// completeFlags completes the values of flags in the whole tree that name a topic, a group, a profile or
// a word of a few.
func (c *connection) completeFlags(root *cobra.Command) {
	values := map[string]completer{
		"topic": c.completeTopics(), "to-group": c.completeGroups(), "group": c.completeGroups(), "profile": completeProfiles,
		"set": completeSettings, "compression": completeWords(clientconfig.Codecs...), "acks": completeWords("all", "1", "0"),
		"state": completeWords(txnStates...), "color": completeWords("auto", "always", "never"), "jq-errors": completeWords("fail", "skip"),
		"to": completeWords("start", "end", "@now", "@-1h"), "format": completeWords("text", "json", "yaml"),
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for name, complete := range values {
			// serve has flags of these names with other values, consume -f is no choice of words.
			if cmd.LocalNonPersistentFlags().Lookup(name) != nil && cmd.Name() != "serve" && !(name == "format" && cmd.Flags().Lookup(name).Shorthand == "f") {
				_ = cmd.RegisterFlagCompletionFunc(name, complete) // fails only for a flag that does not exist
			}
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(root)
	_ = root.RegisterFlagCompletionFunc("profile", completeProfiles)
	_ = root.RegisterFlagCompletionFunc("set", completeSettings)
}

func completeWords(words ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeSettings completes the key of -X.
func completeSettings(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var keys []string
	for _, setting := range clientconfig.Names() {
		keys = append(keys, setting[0]+"=\t"+setting[1])
	}
	return keys, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (c *connection) complete(list func(context.Context, *kadm.Client) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeMax)
		defer cancel()
		// The client waits for its first answers by limits of its own.
		client, err := c.open(ctx, kgo.DialTimeout(completeMax), kgo.RequestTimeoutOverhead(completeMax))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer client.Close()
		names, err := list(ctx, kadm.NewClient(client))
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
