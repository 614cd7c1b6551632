// Package state has the local stores of a stream task.
package state
