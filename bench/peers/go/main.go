// A timestamped echo server with the standard library. Usage: go-net tcp|udp PORT, go-net unix|unix-dgram PATH
package main

import (
	"log"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	chunk = 1024
	room  = 16 * 1024
	stamp = 27
)

// A second's stamp, rendered once.
type rendered struct {
	second int64
	text   []byte
}

var current atomic.Pointer[rendered]

func now() []byte {
	time := time.Now()
	last := current.Load()
	if last == nil || last.second != time.Unix() {
		last = &rendered{time.Unix(), []byte(time.Format("[Mon Jan _2 15:04:05 2006] "))}
		current.Store(last)
	}
	return last.text
}

func serve(connection net.Conn) {
	defer connection.Close()
	input := make([]byte, room)
	output := make([]byte, 0, room+room/chunk*stamp)
	for {
		length, err := connection.Read(input)
		if err != nil {
			return
		}
		text := now()
		output = output[:0]
		for rest := input[:length]; len(rest) > 0; {
			size := len(rest)
			if size > chunk {
				size = chunk
			}
			output = append(append(output, text...), rest[:size]...)
			rest = rest[size:]
		}
		if _, err := connection.Write(output); err != nil {
			return
		}
	}
}

func listen(network, address string) {
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(connection)
	}
}

func udp(address string) {
	here, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.ListenUDP("udp", here)
	if err != nil {
		log.Fatal(err)
	}
	_ = socket.SetReadBuffer(8 << 20)
	input := make([]byte, 64*1024)
	output := make([]byte, 0, 64*1024)
	for {
		// Unlike ReadFromUDP it does not allocate.
		length, from, err := socket.ReadFromUDPAddrPort(input)
		if err != nil {
			continue
		}
		output = append(append(output[:0], now()...), input[:length]...)
		_, _ = socket.WriteToUDPAddrPort(output, from)
	}
}

func unixgram(path string) {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		log.Fatal(err)
	}
	input := make([]byte, 64*1024)
	output := make([]byte, 0, 64*1024)
	for {
		length, from, err := socket.ReadFromUnix(input)
		if err != nil || from == nil {
			continue
		}
		output = append(append(output[:0], now()...), input[:length]...)
		_, _ = socket.WriteToUnix(output, from)
	}
}

func main() {
	transport, where := os.Args[1], os.Args[2]
	switch transport {
	case "tcp":
		listen("tcp", "127.0.0.1:"+where)
	case "udp":
		udp("127.0.0.1:" + where)
	case "unix":
		listen("unix", where)
	case "unix-dgram":
		unixgram(where)
	}
}
