// Package admin is the listener for the administrator of this machine: whether the
// program lives, whether it is ready, and what it has measured. What it says changes
// no answer of the federation listener.
package admin
