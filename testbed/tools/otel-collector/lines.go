package main

import (
	"context"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// linesConfig says where what has come goes to.
type linesConfig struct {
	Path string `mapstructure:"path"`
}

// lines writes each batch as one line of OTLP's JSON. (The collector's own exporter to files
// can't be had as a Go module without modules that are not there.)
type lines struct {
	component.StartFunc
	mutex sync.Mutex
	file  *os.File
	ptrace.JSONMarshaler
}

func newLinesFactory() exporter.Factory {
	create := func(_ context.Context, _ exporter.Settings, config component.Config) (exporter.Traces, error) {
		file, err := os.OpenFile(config.(*linesConfig).Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		return &lines{file: file}, err
	}
	return exporter.NewFactory(
		component.MustNewType("lines"),
		func() component.Config { return &linesConfig{} },
		exporter.WithTraces(create, component.StabilityLevelStable),
	)
}

func (l *lines) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{}
}

func (l *lines) ConsumeTraces(_ context.Context, traces ptrace.Traces) error {
	line, err := l.MarshalTraces(traces)
	if err != nil {
		return err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	_, err = l.file.Write(append(line, '\n'))
	return err
}

func (l *lines) Shutdown(context.Context) error {
	return l.file.Close()
}
