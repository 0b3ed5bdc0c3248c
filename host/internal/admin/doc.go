// Package admin is the listener for the administrator of this machine: whether the
// program lives and whether it is ready. What it says changes no answer of the
// federation listener.
package admin
