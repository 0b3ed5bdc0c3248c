package main

import (
	"testing"

	"github.com/knockgate/knockgate/policies/internal/fixture"
)

func TestCases(t *testing.T) { fixture.Run(t, configure, "testdata", 10) }
