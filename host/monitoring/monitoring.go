// Package monitoring holds what watches a server from outside: a dashboard for
// Grafana, and alert rules for Prometheus. The program does not use them.
package monitoring

import _ "embed"

// Dashboard is a dashboard for Grafana, to be imported there.
//
//go:embed dashboard.json
var Dashboard []byte

// Alerts is a file of alert rules for Prometheus.
//
//go:embed alerts.yaml
var Alerts []byte
