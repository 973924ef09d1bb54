// httpecho says what Go's net/http reads of each request: httpecho ADDRESS.
//
// The answer is one JSON object: method, target, host, body (base64), and the values of all
// fields whose names begin with x-case, in their order.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

type request struct {
	Method string   `json:"method"`
	Target string   `json:"target"`
	Host   string   `json:"host"`
	Body   []byte   `json:"body"`
	Case   []string `json:"case"`
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	read := request{Method: r.Method, Target: r.RequestURI, Host: r.Host, Body: body}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Case") {
			read.Case = append(read.Case, values...)
		}
	}
	answer, err := json.Marshal(read)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("content-type", "application/json")
	w.Write(answer)
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: httpecho ADDRESS")
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Print("serving")
	log.Fatal(http.Serve(listener, http.HandlerFunc(echo)))
}
