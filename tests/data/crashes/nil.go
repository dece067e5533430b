// A nil pointer behind a method, a closure and a generic function, beside goroutines that wait.
package main

import (
	"os"
	"runtime/debug"
)

type Server struct {
	hits  int
	guest *Server
}

//go:noinline
func (s *Server) Serve(name string) int {
	return s.guest.hits + len(name)
}

//go:noinline
func apply[T any](value T, f func(T) int) int {
	return f(value) + 1
}

func main() {
	debug.SetTraceback("crash")
	secret := "CANARY-ON-HEAP" + os.Getenv("SECRET")
	for i := 0; i < 4; i++ {
		go func() { select {} }()
	}
	server := &Server{hits: len(os.Args)}
	os.Exit(apply(secret, func(name string) int { return server.Serve(name) + 2 }))
}
