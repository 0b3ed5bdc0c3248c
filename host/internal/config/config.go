// Package config reads the configuration file: strict TOML into values that
// are already what they stand for (prefixes, server names, durations). A key
// nobody knows, a value of the wrong kind or a combination that is not safe
// stops the start with a line that names the file, the key and what would be
// right. Every fault of a file is reported at once.
//
// The documented sample is config.toml at the root of the repository; a test
// loads it.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"aead.dev/minisign"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Config is a whole configuration, checked. Relative paths in the file are
// taken from the file's folder and are absolute here.
type Config struct {
	// Path is the file this was read from.
	Path string
	// ServerName is this server's name in Matrix. Required. Changing it makes
	// another server of it: rooms and keys belong to a name.
	ServerName matrix.ServerName
	// StateDir is the folder for the signing key, the TLS certificate and the
	// store. Made if missing, mode 0700. Default "state".
	StateDir   string
	Listen     Listen
	Federation Federation
	Log        Log
	// Upstream is the homeserver that this server stands before; nil: there is
	// none, and this server keeps rooms itself.
	Upstream *Upstream
	// Rooms are made at a start that finds no room with their alias. None with
	// an Upstream.
	Rooms    []Room
	Policies Policies
	// Lists are the lists that policies with the grant "lists" may ask.
	Lists     []List
	Decisions Decisions
	Admin     Admin
	Notices   Notices
}

// Listen is where and how the server listens.
type Listen struct {
	// Federation is the address for other servers. Default "127.0.0.1:8448".
	Federation netip.AddrPort
	// Plain is plain HTTP, for a reverse proxy that other servers speak TLS with.
	// Then Federation is a loopback or private address, or all of a machine that
	// has no other; there is no certificate. Default false.
	Plain bool
	// Certificate and Key are PEM files. Both or neither: with neither, a
	// self-signed certificate is made in StateDir, which only peers that make
	// an exception take.
	Certificate, Key string
}

// Loopback reports whether only this machine can reach the listener.
func (l Listen) Loopback() bool { return l.Federation.Addr().IsLoopback() }

// Admin is the listener for the administrator.
type Admin struct {
	// Listen is its address; the zero AddrPort: there is none. Default none. Beyond
	// loopback there are TokenFile, Certificate and Key too.
	Listen netip.AddrPort
	// TokenFile holds the secret of the admin API, and is made by a start that does
	// not find it; "": there is no API. Default "".
	TokenFile string
	// Certificate and Key are PEM files; "": the listener is plain HTTP.
	Certificate, Key string
	// Hosts are the names by which it is asked, beside IP addresses of loopback,
	// localhost and the address of Listen.
	Hosts []string
}

// URL returns where the listener is asked from this machine.
func (a Admin) URL() *url.URL {
	at, scheme := a.Listen, "http"
	if at.Addr().IsUnspecified() {
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if at.Addr().Is6() {
			loopback = netip.IPv6Loopback()
		}
		at = netip.AddrPortFrom(loopback, at.Port())
	}
	if a.Certificate != "" {
		scheme = "https"
	}
	return &url.URL{Scheme: scheme, Host: at.String()}
}

// Federation is who may speak to this server and how this server reaches them.
type Federation struct {
	// Allow and Deny are globs ('*', '?', any case) on the origin's server
	// name without its port. A request is refused with 403 if a Deny glob
	// matches or no Allow glob does. Default: allow ["*"], deny [].
	Allow, Deny []string
	// RequestsPerSecond and Burst bound the authenticated requests of each
	// origin; more are answered 429. Defaults 20 and 100.
	RequestsPerSecond float64
	Burst             int
	// KnockRoomState is the shape of the room's state in the answer to a
	// send_knock: "auto", "stripped" or "pdu". Default auto.
	KnockRoomState string
	// AllowPrivate are address ranges that this server may fetch keys from
	// although they are private, loopback or otherwise not of the public
	// network. Default none.
	AllowPrivate []netip.Prefix
	// LoopbackSelfSigned takes self-signed certificates from servers whose name
	// is a loopback IP literal. Default false.
	LoopbackSelfSigned bool
	// Pinned are servers whose keys are these for ever: they are never asked.
	// Default none.
	Pinned []ServerKeys
	// Notaries are servers that are asked, in their order, for the keys of
	// others that cannot be had from those; their keys sign what they answer. At
	// most MaxNotaries. Default none.
	Notaries []ServerKeys
}

// ServerKeys is a server and its keys, at least one.
type ServerKeys struct {
	Server matrix.ServerName
	Keys   map[matrix.KeyID]matrix.PublicKey
}

// Log is what the program writes to standard error.
type Log struct {
	// Level is the least level written. Default info.
	Level slog.Level
	// JSON writes one JSON object a line; else key=value text. Default false.
	JSON bool
}

// Room is a room to make if it is not there.
type Room struct {
	// Alias is the localpart of its canonical alias, "#lobby" or "lobby".
	Alias string
	// Name is the room's name. May be empty.
	Name string
	// Version is its room version. Default "11".
	Version *matrix.RoomVersion
	// JoinRule is knock or, from room version 10 on, knock_restricted. Default knock.
	JoinRule string
}

// Policies is the chain.
type Policies struct {
	// Dir is the folder that the modules' paths start from. Default "policies".
	Dir string
	// Default is the verdict where every policy passed: "allow" or "deny".
	// Default deny.
	Default string
	// Watch reloads the chain when the configuration or a module changes.
	// Default true.
	Watch bool
	// OnBadStart is what a start does whose policies do not load while no
	// earlier ones are kept: "refuse", or "default" to answer every knock with
	// Default. Default refuse.
	OnBadStart string
	// Signers are the minisign keys of whom every module must be signed by one; empty:
	// none need be.
	Signers []minisign.PublicKey
	// Chain are the policies in their order.
	Chain []Policy
}

// Policy is one use of a module.
type Policy struct {
	// Name is unique in the chain; decisions and logs cite it.
	Name string
	// Module is the absolute path of the .wasm file.
	Module string
	// Digest pins the module: "sha256:" and 64 hex digits; "" takes any.
	Digest string
	// Settings is the module's settings as canonical JSON, or nil.
	Settings []byte
	// OnError is the verdict when the policy faults: deny, allow or pass.
	// Default deny.
	OnError string
	// Mode is "enforce" or "monitor". Default enforce.
	Mode string
	// Phases limits the policy to "make_knock" or "send_knock". Default both.
	Phases []string
	// Rooms and Origins are globs; empty means all.
	Rooms, Origins []string
	// Fuel bounds one decision, in ticks. 0 is the engine's default.
	Fuel int64
	// Isolation is what the policy can remember between knocks: reuse, reset or
	// fresh. Default reuse.
	Isolation string
	// Grants are the capabilities that it gets: "kv" and "lists".
	Grants []string
}

// List is a list that policies may ask.
type List struct {
	// Name is unique; policies ask by it.
	Name string
	// File is the absolute path of its entries, "" where they are fetched.
	File string
	// URL is where its entries are fetched from; nil: from nowhere.
	URL *url.URL
	// Room is the policy room whose rules are its entries, "" for none. Only with an
	// Upstream that has a Bot or Admin.
	Room matrix.RoomID
	// Every is how often it is fetched, from a URL or a room.
	Every time.Duration
}

// Decisions is what is kept of decisions.
type Decisions struct {
	// KeepFacts keeps what the policies were told and what host functions
	// answered them, so that a decision can be replayed. Default true.
	KeepFacts bool
	// MaxAge is how long a decision is kept; 0 for ever. Default 90 days.
	MaxAge time.Duration
	// MaxCount is how many decisions are kept; 0 for all. Default 1,000,000.
	MaxCount int64
	// Reference tells a knocker who is refused the decision's request ID. Default
	// false.
	Reference bool
}
