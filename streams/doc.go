// Package streams processes records of topics with typed topologies: stateless steps, windows and stores, with results that
// count every input exactly once.
package streams
