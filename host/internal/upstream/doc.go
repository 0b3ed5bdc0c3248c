// Package upstream reaches the homeserver that this server stands before. A
// request goes to it with the request-target, body and Authorization that came:
// the homeserver checks the same signature again. What is told of its rooms comes
// from the first of some sources that knows them: Synapse's admin API, or the
// client-server API as a bot sees it.
//
// It knows nothing of policies; whoever calls it has asked them.
package upstream
