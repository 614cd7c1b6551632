// Package balance decides which member of an application runs which task. It is pure: who decides, and when, makes no
// difference.
package balance
