package discovery

import (
	"errors"
	"net/netip"
	"testing"
)

func TestAddressRules(t *testing.T) {
	private := addressRules{}
	opened := addressRules{[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")}}
	tests := []struct {
		addr string
		want bool // allowed
		open bool // allowed once 10.1.0.0/16 and fd12::/16 are opened
	}{
		{"1.1.1.1", true, true},
		{"100.63.255.255", true, true},
		{"172.15.255.255", true, true},
		{"172.32.0.1", true, true},
		{"192.169.0.1", true, true},
		{"223.255.255.255", true, true},
		{"2606:4700::1111", true, true},
		{"2a00::1", true, true},

		{"0.0.0.0", false, false},
		{"0.1.2.3", false, false},
		{"10.0.0.1", false, false},
		{"10.1.2.3", false, true},
		{"100.64.0.1", false, false},
		{"100.100.100.200", false, false},
		{"127.0.0.1", false, false},
		{"127.255.255.255", false, false},
		{"168.63.129.16", false, false},
		{"169.254.169.254", false, false},
		{"172.16.0.1", false, false},
		{"172.31.255.255", false, false},
		{"192.0.0.192", false, false},
		{"192.0.2.1", false, false},
		{"192.168.1.1", false, false},
		{"198.18.0.1", false, false},
		{"198.51.100.1", false, false},
		{"203.0.113.1", false, false},
		{"224.0.0.1", false, false},
		{"239.255.255.250", false, false},
		{"240.0.0.1", false, false},
		{"255.255.255.255", false, false},

		{"::", false, false},
		{"::1", false, false},
		{"::ffff:127.0.0.1", false, false},
		{"::ffff:10.1.2.3", false, true},
		{"::ffff:1.1.1.1", true, true},
		{"::127.0.0.1", false, false},
		{"64:ff9b::10.0.0.1", false, false},
		{"64:ff9b::10.1.0.1", false, true},
		{"64:ff9b::169.254.169.254", false, false},
		{"64:ff9b::1.1.1.1", true, true},
		{"64:ff9b:1::1", false, false},
		{"100::1", false, false},
		{"2001::1", false, false},
		{"2001:db8::1", false, false},
		{"2002:7f00:1::", false, false},
		{"3fff::1", false, false},
		{"fc00::1", false, false},
		{"fd12::1", false, true},
		{"fd00:ec2::254", false, false},
		{"fe80::1", false, false},
		{"fe80::1%eth0", false, false},
		{"2606:4700::1111%eth0", false, false},
		{"fec0::1", false, false},
		{"ff02::1", false, false},
	}
	for _, tt := range tests {
		a := netip.MustParseAddr(tt.addr)
		err := private.check(a)
		if got, want := err == nil, tt.want; got != want {
			t.Errorf("check(%v) = %v, want allowed %v", a, err, want)
		}
		var refused *AddressError
		if err != nil && !errors.As(err, &refused) {
			t.Errorf("check(%v) = %T, want *AddressError", a, err)
		}
		if got, want := opened.check(a) == nil, tt.open; got != want {
			t.Errorf("opened: check(%v) allowed %v, want %v", a, got, want)
		}
	}
	if err := private.check(netip.Addr{}); err == nil {
		t.Error("check of the zero address: got nil, want an error")
	}
}
