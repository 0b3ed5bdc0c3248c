// Package upstream reaches the homeserver that this server stands before. A
// request goes to it with the request-target, body and Authorization that came:
// the homeserver checks the same signature again. What it says of its rooms
// comes from Synapse's admin API.
//
// It knows nothing of policies; whoever calls it has asked them.
package upstream
