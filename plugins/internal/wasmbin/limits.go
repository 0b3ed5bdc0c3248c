package wasmbin

// The default limits, each with the largest figure seen. "Go guest" is
// testdata/goguest, fmt and encoding/json and 3.3 MB; "cmd/go" is the go
// command built for wasip1, 27 MB, which stands for the largest policy anyone
// will write. Rust, Zig, TinyGo, C, AssemblyScript and Rego stay below both
// unless named.
const (
	// A Go guest is 3.3 MB; wazero takes 244 ms over 64 MB of nothing.
	maxFileBytes = 16 << 20
	// 35, TinyGo.
	maxTypes = 4096
	// 11, Rust and Rego. All of a call's are copied.
	maxParams = 255
	// 1 everywhere so far.
	maxResults = 32
	// 41, cmd/go; 16, Go guest.
	maxImports = 256
	// 14,480, cmd/go; 2,130, Go guest. 100,000 empty ones compile for 1.3 s.
	maxFunctions = 50_000
	// 813, C built by Zig without optimisation; else 41. A frame of 1,000 is
	// 16 KB at most; wazero dies of 2^32-1, which a module of 37 bytes can say.
	maxLocals = 1000
	// 1,152, cmd/go; 549, Go guest, where every point a function can resume at is
	// a block. 3,000 compile for 92 ms, 100,000 for more than 40 s.
	maxNesting = 2048
	// 1,710, cmd/go; 965, Go guest. 30,000 compile for 0.46 s, 1,000,000 for more
	// than 40 s; many br_tables cost what one of their sum does.
	maxLabels = 4096
	// 2,658, cmd/go; 1,285, Go guest. 20,000 small loops in a row compile for
	// 43 s, and for 356 s with ticks in them; 2,000 for 0.7 s.
	maxBlocks = 4096
	// 78,829, vet; 29,238, Go guest.
	maxBodyBytes = 512 << 10
	// 34,939, vet; 13,335, Go guest. A million compile for 1.1 s and 181 MB.
	maxInstructions = 200_000
	// 1 everywhere.
	maxTables = 8
	// 18,576, cmd/go; 6,226, Go guest. wazero allocates all 2^27 it is asked for.
	maxTableMin = 1 << 16
	// No toolchain tried emits table.grow.
	maxTableMax = 1 << 16
	// 12, AssemblyScript. 200,000 load for 0.15 s.
	maxGlobals = 1000
	// 257, Zig; 189, cmd/go; 42, Go guest. 32 MiB is allocated at once.
	maxMemoryMin = 512
	// 26, Rego.
	maxExports = 1000
	// 2, Rego.
	maxElements = 1000
	// 100,000, cmd/go, where the linker stops splitting; 36,697, Go guest, whose
	// linker leaves out runs of zeros.
	maxData = 100_000
	// 11, C built by Zig, which keeps DWARF.
	maxCustoms = 64
	// 248,329, vet with its names; 234,283, C built by Zig, which keeps DWARF.
	maxCustomBytes = 4 << 20
	// 27, Rego. Names of functions, in the name section, are not counted.
	maxNameBytes = 1024
	// 6,572, vet with its names. wazero allocates by the count claimed.
	maxFunctionNames = 100_000
)

// Limits bounds what Scan accepts. Each field is the largest figure allowed;
// start from DefaultLimits. A figure of 0 allows none.
//
// The maximum of a memory is not bounded here, as an engine caps memory and
// many toolchains write the largest there is.
type Limits struct {
	FileBytes     int    // whole binary; what Meter returns may be twice as long
	Types         int    // function types
	Params        int    // parameters of one type
	Results       int    // results of one type
	Imports       int    // all kinds
	Functions     int    // defined in the module
	Locals        int    // of one function, with parameters
	Nesting       int    // blocks, loops and ifs inside each other
	Labels        int    // entries of all br_tables of one function
	Blocks        int    // blocks, loops, ifs, br and br_if of one function
	BodyBytes     int    // code of one function
	Instructions  int    // of one function
	Tables        int    // with imported ones
	TableMin      uint32 // elements a table has from the start
	TableMax      uint32 // elements a table may reach by table.grow; no maximum counts as 2^32-1
	Globals       int    // with imported ones
	MemoryMin     uint32 // pages of 65,536 bytes a memory has from the start
	Exports       int    // all kinds
	Elements      int    // element segments
	Data          int    // data segments
	Customs       int    // custom sections
	CustomBytes   int    // of one custom section
	NameBytes     int    // one name of an import, export or custom section
	FunctionNames int    // entries of one list in the name section
}

// DefaultLimits returns the limits for policies.
func DefaultLimits() Limits {
	return Limits{
		FileBytes:     maxFileBytes,
		Types:         maxTypes,
		Params:        maxParams,
		Results:       maxResults,
		Imports:       maxImports,
		Functions:     maxFunctions,
		Locals:        maxLocals,
		Nesting:       maxNesting,
		Labels:        maxLabels,
		Blocks:        maxBlocks,
		BodyBytes:     maxBodyBytes,
		Instructions:  maxInstructions,
		Tables:        maxTables,
		TableMin:      maxTableMin,
		TableMax:      maxTableMax,
		Globals:       maxGlobals,
		MemoryMin:     maxMemoryMin,
		Exports:       maxExports,
		Elements:      maxElements,
		Data:          maxData,
		Customs:       maxCustoms,
		CustomBytes:   maxCustomBytes,
		NameBytes:     maxNameBytes,
		FunctionNames: maxFunctionNames,
	}
}
