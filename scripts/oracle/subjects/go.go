// Goroutines that wait, sleep and work, on several threads of the system.
package main

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

var spun [2]int

//go:noinline
func down(levels int, last func()) {
	if levels == 0 {
		last()
		return
	}
	down(levels-1, last)
	runtime.KeepAlive(levels)
}

//go:noinline
func work(number int) {
	for {
		spun[number]++
	}
}

func main() {
	var held sync.Mutex
	held.Lock()
	ready := make(chan int)
	for number := range spun {
		go func() {
			// A thread of its own, and in a call of the system's: others are made for the rest.
			runtime.LockOSThread()
			ready <- number
			down(3+number, func() {
				var fds [2]int
				if syscall.Pipe(fds[:]) == nil {
					syscall.Read(fds[0], make([]byte, 1))
				}
			})
		}()
		go func() { ready <- number; down(4, func() { work(number) }) }()
	}
	go func() { ready <- 0; down(5, held.Lock) }()
	go func() { ready <- 0; down(2, func() { time.Sleep(24 * time.Hour) }) }()
	for range 2*len(spun) + 2 {
		<-ready
	}
	time.Sleep(200 * time.Millisecond)
	os.WriteFile(os.Args[1], nil, 0o600)
	select {}
}
