// Command yamljson reads manifests as kubectl does and prints each document as one line of JSON.
//
// Without arguments it reads one stream of documents from standard input. With -batch each line
// of standard input is a JSON string holding a whole manifest, and each line of output answers
// one of them: an array of its documents, or {"error": "..."}; a test starts it once and asks it
// thousands of times.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	batch := flag.Bool("batch", false, "one JSON string per line in, one JSON array per line out")
	flag.Parse()
	run := stream
	if *batch {
		run = answer
	}
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "yamljson:", err)
		os.Exit(1)
	}
}

// stream prints the documents of one manifest.
func stream(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	documents, err := read(text)
	if err != nil {
		return err
	}
	for _, document := range documents {
		if _, err := fmt.Fprintf(out, "%s\n", document); err != nil {
			return err
		}
	}
	return nil
}

// answer prints one line for each line it reads.
func answer(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var text string
		if err := json.Unmarshal(line, &text); err != nil {
			return fmt.Errorf("a line of -batch must be a JSON string: %w", err)
		}
		var reply any
		if documents, err := read([]byte(text)); err != nil {
			reply = map[string]string{"error": err.Error()}
		} else {
			reply = documents
		}
		if err := encoder.Encode(reply); err != nil {
			return err
		}
	}
}

// read takes a stream that starts with an opening brace for JSON, as kubectl does, and anything
// else, or what turns out not to be JSON, for YAML.
func read(text []byte) ([]json.RawMessage, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		if documents, err := readJSON(text); err == nil {
			return documents, nil
		}
	}
	return readYAML(text)
}

func readJSON(text []byte) ([]json.RawMessage, error) {
	documents := []json.RawMessage{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var document json.RawMessage
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return documents, nil
		} else if err != nil {
			return nil, err
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, document); err != nil {
			return nil, err
		}
		documents = append(documents, compact.Bytes())
	}
}

// readYAML cuts the stream at lines that begin with three dashes, then reads each piece alone. As
// in kubectl's reader of lines the last one ends with a line break, whether the file has one or not.
func readYAML(text []byte) ([]json.RawMessage, error) {
	documents := []json.RawMessage{}
	var piece bytes.Buffer
	flush := func() error {
		document, err := yaml.YAMLToJSON(piece.Bytes())
		piece.Reset()
		if err != nil {
			return err
		}
		if document = bytes.TrimSpace(document); string(document) != "null" {
			documents = append(documents, document)
		}
		return nil
	}
	for line := range strings.SplitAfterSeq(string(text), "\n") {
		if rest, found := strings.CutPrefix(line, "---"); found {
			rest = strings.TrimSpace(rest)
			if rest != "" && !strings.HasPrefix(rest, "#") {
				return nil, fmt.Errorf("content after a document separator: %q", line)
			}
			if err := flush(); err != nil {
				return nil, err
			}
			continue
		}
		piece.WriteString(strings.TrimSuffix(line, "\n"))
		piece.WriteByte('\n')
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return documents, nil
}
