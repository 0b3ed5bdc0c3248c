package policy

import (
	"unsafe"

	"github.com/knockgate/knockgate/sdk/abi"
)

// guest is the one instance of a module. It is never moved: addresses in it are
// handed to the host.
var guest instance

//go:wasmexport knock_v1_buffer
func exportBuffer(size uint32) uint32 {
	if registered == nil || size > uint32(len(guest.input)) {
		return 0
	}
	return address(unsafe.Pointer(&guest.input))
}

//go:wasmexport knock_v1_configure
func exportConfigure(n uint32) uint64 { return pack(guest.configure(registered, n)) }

//go:wasmexport knock_v1_decide
func exportDecide(n uint32) uint64 {
	result, kind := guest.run(registered, n)
	if result == nil {
		return abi.Pack(0, uint32(kind))
	}
	return pack(result)
}

func pack(result []byte) uint64 {
	if result == nil {
		return 0
	}
	return abi.Pack(address(unsafe.Pointer(&result[0])), uint32(len(result)))
}

// address returns a pointer's address in linear memory, which is 32 bits wide.
func address(p unsafe.Pointer) uint32 { return uint32(uintptr(p)) }

//go:wasmimport knock_v1 log
func hostLog(level int32, text string)

//go:wasmimport knock_v1 now_ms
func hostNowMS() int64

//go:wasmimport knock_v1 random
//go:noescape
func wasmRandom(ptr *byte, size uint32)

//go:wasmimport knock_v1 glob_match
func hostGlobMatch(pattern, text string) int32

//go:wasmimport knock_v1 acl_allows
func hostACLAllows(acl, server string) int32

//go:wasmimport knock_v1 kv_get
//go:noescape
func wasmKVGet(key string, out *byte, room uint32) int32

//go:wasmimport knock_v1 kv_put
//go:noescape
func wasmKVPut(key string, value *byte, size uint32, ttlMS int64) int32

//go:wasmimport knock_v1 kv_incr
func hostKVIncr(key string, delta, ttlMS int64) int64

//go:wasmimport knock_v1 list_has
func hostListHas(list, key string) int32

func hostRandom(b []byte) { wasmRandom(unsafe.SliceData(b), uint32(len(b))) }

func hostKVGet(key string, out []byte) int32 {
	return wasmKVGet(key, unsafe.SliceData(out), uint32(len(out)))
}

func hostKVPut(key string, value []byte, ttlMS int64) int32 {
	return wasmKVPut(key, unsafe.SliceData(value), uint32(len(value)), ttlMS)
}
