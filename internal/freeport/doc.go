// Package freeport finds addresses for the tests of servers that run as processes of their own.
package freeport
