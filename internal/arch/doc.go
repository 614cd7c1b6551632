// Package arch holds the tests of the project's shape: which package may import which, what pure cores stay away from,
// how large a file may be. It opens the source files itself: the test cache then knows what a result depends on.
package arch
