// Package load is the pure part of a benchmark: when each record is due, what it consists of, and how long records
// took. Times are those since the beginning of the run.
package load
