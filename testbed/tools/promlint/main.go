// promlint reads metrics, and expressions about them, as Prometheus does, with its own parsers.
//
//	promlint text|openmetrics FILE
//	promlint names FILE
//
// The first prints what a scrape of the file would store, a line for each series: its value, and its
// name with its labels. Of the older format it also says on standard error what the linter of
// `promtool check metrics` says.
//
// The second prints the name of every metric in the expressions of the file, one on each line.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql/parser"
)

// series prints what a scrape would store.
func series(content []byte, kind string) error {
	parser, err := textparse.New(content, kind, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		return err
	}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry == textparse.EntrySeries {
			_, _, value := parser.Series()
			var all labels.Labels
			parser.Labels(&all)
			fmt.Println(value, all.String())
		}
	}
}

// lint says what is not done so among exporters.
func lint(content []byte) error {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	if _, err := parser.TextToMetricFamilies(bytes.NewReader(content)); err != nil {
		return err
	}
	problems, err := promlint.New(bytes.NewReader(content)).Lint()
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, problem.Metric, problem.Text)
	}
	return err
}

// names prints the metrics that expressions are about.
func names(content string) error {
	reader := parser.NewParser(parser.Options{})
	for _, line := range strings.Split(strings.TrimSpace(content), "\n") {
		expression, err := reader.ParseExpr(line)
		if err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				fmt.Println(selector.Name)
			}
			return nil
		})
	}
	return nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: promlint text|openmetrics|names FILE")
	}
	content, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	switch os.Args[1] {
	case "text":
		if err = series(content, "text/plain; version=0.0.4"); err == nil {
			err = lint(content)
		}
	case "openmetrics":
		err = series(content, "application/openmetrics-text; version=1.0.0")
	case "names":
		err = names(string(content))
	default:
		err = errors.New("there is no " + os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}
