// Nine bugs in Go. The first argument names the bug.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

type server struct {
	hits  map[string]int
	next  *server
	rows  []int
	guard any
}

func (s *server) count(name string) int {
	s.hits[name]++
	return s.hits[name] + 1
}

func nilMap(s *server) int { return s.count("front") * 2 }

func (s *server) depth() int { return len(s.next.rows) + 1 }

func nilPointer(s *server) int { return s.depth() + 3 }

func (s *server) row(index int) int { return s.rows[index] * 2 }

func indexOutOfRange(s *server) int { return s.row(len(s.rows)+4) + 1 }

func (s *server) open(name string) error { return errors.New("no " + name) }

func mustOpen(s *server, name string) int {
	if err := s.open(name); err != nil {
		panic(err)
	}
	return len(name)
}

func explicitPanic(s *server) int { return mustOpen(s, "store") + 5 }

func nameOf(value any) string { return value.(string) + "!" }

func wrongType(s *server) int { return len(nameOf(s.guard)) + 7 }

func stop(done chan int) int {
	close(done)
	return cap(done)
}

func closedTwice(s *server) int {
	done := make(chan int, len(s.rows))
	return stop(done) + stop(done)
}

func average(sum, count int) int { return sum / count }

func divisionByZero(s *server) int { return average(10, len(s.hits)) * 9 }

func apply[T any](values []T, f func(T) int) int {
	sum := 0
	for _, value := range values {
		sum += f(value)
	}
	return sum + 1
}

func closureInGeneric(s *server) int {
	return apply(s.rows, func(row int) int { return s.next.rows[row] }) - 1
}

func work(s *server, results chan int) {
	results <- s.next.hits["back"] + len(s.next.rows)
}

func crashInGoroutine(s *server) int {
	results := make(chan int)
	go work(s, results)
	return <-results + 2
}

func main() {
	debug.SetTraceback("crash")
	causes := []struct {
		name string
		run  func(*server) int
	}{
		{"nil_map", nilMap},
		{"nil_pointer", nilPointer},
		{"index_out_of_range", indexOutOfRange},
		{"explicit_panic", explicitPanic},
		{"wrong_type", wrongType},
		{"closed_twice", closedTwice},
		{"go_division_by_zero", divisionByZero},
		{"closure_in_generic", closureInGeneric},
		{"crash_in_goroutine", crashInGoroutine},
	}
	s := &server{rows: []int{1, 2}, guard: 5}
	for _, cause := range causes {
		if len(os.Args) < 2 {
			fmt.Println(cause.name)
		} else if os.Args[1] == cause.name {
			fmt.Println(cause.run(s))
		}
	}
}
