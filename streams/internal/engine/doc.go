// Package engine runs what package streams describes: tasks, their inputs and commits, how they are spread over the members of
// an application, and what is counted of them.
package engine
