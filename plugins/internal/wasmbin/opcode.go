package wasmbin

// Opcodes the scanner or the rewriter must know by name. A prefixed opcode is
// prefix<<8 | second opcode. All others are known by their immediates only.
const (
	opUnreachable   = 0x00
	opBlock         = 0x02
	opLoop          = 0x03
	opIf            = 0x04
	opElse          = 0x05
	opEnd           = 0x0b
	opBr            = 0x0c
	opBrIf          = 0x0d
	opBrTable       = 0x0e
	opReturn        = 0x0f
	opCall          = 0x10
	opCallIndirect  = 0x11
	opLocalGet      = 0x20
	opLocalTee      = 0x22
	opGlobalGet     = 0x23
	opGlobalSet     = 0x24
	opMemoryGrow    = 0x40
	opI32Const      = 0x41
	opI64Const      = 0x42
	opF32Const      = 0x43
	opF64Const      = 0x44
	opI64LtS        = 0x53
	opI32Sub        = 0x6b
	opI32Add        = 0x6a
	opI64Sub        = 0x7d
	opI64Or         = 0x84
	opI64Shl        = 0x86
	opI64ShrU       = 0x88
	opI64ExtendI32S = 0xac
	opI64ExtendI32U = 0xad
	opTableGet      = 0x25
	opRefNull       = 0xd0
	opRefFunc       = 0xd2

	opMemoryInit = 0xfc08
	opMemoryCopy = 0xfc0a
	opMemoryFill = 0xfc0b
	opTableInit  = 0xfc0c
	opTableCopy  = 0xfc0e
	opTableGrow  = 0xfc0f
	opTableSize  = 0xfc10
	opTableFill  = 0xfc11
	opV128Const  = 0xfd0c
)

// shape is what follows an opcode in the binary.
type shape uint8

const (
	shapeUnknown    shape = iota // not an opcode of core 2.0
	shapeNone                    // nothing
	shapeBlockType               // block, loop, if
	shapeLabel                   // br, br_if
	shapeLabels                  // br_table
	shapeFunc                    // call, ref.func
	shapeIndirect                // call_indirect: type, table
	shapeTypes                   // select with types
	shapeLocal                   // local.get, .set, .tee
	shapeGlobal                  // global.get, .set
	shapeTable                   // table.get, .set, .grow, .size, .fill
	shapeMem                     // memory.size, .grow, .fill: one reserved byte
	shapeMemMem                  // memory.copy: two reserved bytes
	shapeMemArg                  // loads and stores: alignment, offset
	shapeI32                     // i32.const
	shapeI64                     // i64.const
	shape4                       // f32.const
	shape8                       // f64.const
	shape16                      // v128.const, i8x16.shuffle
	shapeRefType                 // ref.null
	shapeDataMem                 // memory.init: segment, reserved byte
	shapeData                    // data.drop
	shapeElemTable               // table.init: segment, table
	shapeElem                    // elem.drop
	shapeTables                  // table.copy: two tables
	shapeLane                    // extract and replace: lane
	shapeMemArgLane              // load and store of one lane
)

var (
	shapes   [256]shape // one-byte opcodes
	shapesFC [18]shape  // prefix 0xfc
	shapesFD [256]shape // prefix 0xfd: SIMD
	costs    [256]uint8 // units of the one-byte opcodes, see cost
	costsFD  [256]uint8
)

// What an instruction counts for, in units of which unitsPerTick make a tick.
// One unit is about a register operation. The others were measured on the
// compiler engine with adversarial loops; README.md has the table.
const (
	unitsPerTick = 16
	costPlain    = 1
	costMemory   = 4   // a load that misses the cache
	costSlow     = 6   // division, remainder, square root
	costCall     = 4   // the callee ticks for itself
	costIndirect = 8   // bounds, type check
	costImport   = 64  // crossing into the host; the host function may charge more
	costBulk     = 64  // memory and table operations by length: the fixed part
	costGrow     = 128 // memory.grow, table.grow: the fixed part; they leave native code
)

func fill(t []shape, from, to int, s shape) {
	for i := from; i <= to; i++ {
		t[i] = s
	}
}

func init() {
	fill(shapes[:], 0x00, 0x01, shapeNone)
	fill(shapes[:], opBlock, opIf, shapeBlockType)
	shapes[opElse], shapes[opEnd] = shapeNone, shapeNone
	shapes[opBr], shapes[opBrIf], shapes[opBrTable] = shapeLabel, shapeLabel, shapeLabels
	shapes[opReturn] = shapeNone
	shapes[opCall], shapes[opCallIndirect] = shapeFunc, shapeIndirect
	fill(shapes[:], 0x1a, 0x1b, shapeNone)
	shapes[0x1c] = shapeTypes
	fill(shapes[:], 0x20, 0x22, shapeLocal)
	fill(shapes[:], 0x23, 0x24, shapeGlobal)
	fill(shapes[:], 0x25, 0x26, shapeTable)
	fill(shapes[:], 0x28, 0x3e, shapeMemArg)
	fill(shapes[:], 0x3f, 0x40, shapeMem)
	shapes[opI32Const], shapes[opI64Const] = shapeI32, shapeI64
	shapes[opF32Const], shapes[opF64Const] = shape4, shape8
	fill(shapes[:], 0x45, 0xc4, shapeNone)
	shapes[opRefNull], shapes[0xd1], shapes[opRefFunc] = shapeRefType, shapeNone, shapeFunc

	fill(shapesFC[:], 0, 7, shapeNone)
	copy(shapesFC[8:], []shape{
		shapeDataMem, shapeData, shapeMemMem, shapeMem, shapeElemTable, shapeElem,
		shapeTables, shapeTable, shapeTable, shapeTable,
	})

	fill(shapesFD[:], 0x00, 0x0b, shapeMemArg)
	fill(shapesFD[:], 0x0c, 0x0d, shape16)
	fill(shapesFD[:], 0x0e, 0x14, shapeNone)
	fill(shapesFD[:], 0x15, 0x22, shapeLane)
	fill(shapesFD[:], 0x23, 0x53, shapeNone)
	fill(shapesFD[:], 0x54, 0x5b, shapeMemArgLane)
	fill(shapesFD[:], 0x5c, 0x5d, shapeMemArg)
	fill(shapesFD[:], 0x5e, 0xff, shapeNone)
	for _, hole := range []int{
		0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb,
		0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee,
	} {
		shapesFD[hole] = shapeUnknown
	}

	for op, s := range shapes {
		costs[op] = costPlain
		if s == shapeMemArg {
			costs[op] = costMemory
		}
	}
	costs[opCall], costs[opCallIndirect] = costCall, costIndirect
	costs[opMemoryGrow] = costGrow
	for _, op := range []int{0x01, opBlock, opLoop, opEnd} {
		costs[op] = 0 // nop and labels: no code comes of them
	}
	for _, op := range []int{
		0x6d, 0x6e, 0x6f, 0x70, // i32 div, rem
		0x7f, 0x80, 0x81, 0x82, // i64 div, rem
		0x91, 0x95, 0x9f, 0xa3, // f32 and f64 sqrt, div
	} {
		costs[op] = costSlow
	}
	for op, s := range shapesFD {
		costsFD[op] = costPlain
		if s == shapeMemArg || s == shapeMemArgLane {
			costsFD[op] = costMemory
		}
	}
	for _, op := range []int{0xe3, 0xe7, 0xef, 0xf3} { // f32x4 and f64x2 sqrt, div
		costsFD[op] = costSlow
	}
}

// instr is one decoded instruction, b[pos:end] of the binary.
type instr struct {
	pos, end int
	op       uint32
	shape    shape
	cost     uint8
	x, y     uint32 // indexes, in the order of the binary
	block    int64  // block type: type index if not negative
	labels   int    // br_table: where its labels begin; x+1 of them
}

// next decodes one instruction, refusing every opcode that core 2.0 does not
// have. Indexes are not checked here.
func (r *reader) next(in *instr) {
	in.pos = r.pos
	c := r.byte()
	in.op, in.shape, in.cost = uint32(c), shapes[c], costs[c]
	if c >= 0xfc {
		r.prefixed(in, c)
	}
	switch in.shape {
	case shapeNone:
	case shapeUnknown:
		if in.op > 0xff {
			r.failAt(in.pos, "unknown opcode 0x%02x 0x%02x", in.op>>8, in.op&0xff)
		} else {
			r.failAt(in.pos, "unknown opcode 0x%02x", in.op)
		}
	case shapeLocal, shapeGlobal, shapeLabel, shapeFunc, shapeTable, shapeData, shapeElem:
		in.x = r.u32()
	case shapeMemArg, shapeMemArgLane:
		if align := r.u32(); align > 4 {
			r.failAt(in.pos, "unknown alignment or memory flags 0x%x", align)
		}
		r.u32()
		if in.shape == shapeMemArgLane {
			r.byte()
		}
	case shapeI32:
		r.signed(32)
	case shapeI64:
		r.signed(64)
	case shapeBlockType:
		in.block = r.blockType()
	case shapeLabels:
		in.x = r.u32()
		in.labels = r.pos
		if uint64(in.x) >= uint64(r.left()) {
			r.failAt(in.pos, "br_table: %d labels claimed, but only %d bytes are left", in.x, r.left())
			return
		}
		for n := uint64(in.x) + 1; n > 0; n-- {
			r.u32()
		}
	case shapeIndirect, shapeElemTable, shapeTables:
		in.x, in.y = r.u32(), r.u32()
	case shapeTypes:
		if n := r.u32(); n != 1 && r.err == nil {
			r.failAt(in.pos, "select with %d types, not 1", n)
		}
		r.valueType()
	case shapeMem:
		r.zero("memory instruction")
	case shapeMemMem:
		r.zero("memory.copy")
		r.zero("memory.copy")
	case shapeDataMem:
		in.x = r.u32()
		r.zero("memory.init")
	case shape4:
		r.skip(4)
	case shape8:
		r.skip(8)
	case shape16:
		r.skip(16)
	case shapeLane:
		r.byte()
	case shapeRefType:
		r.refType()
	}
	in.end = r.pos
}

func (r *reader) prefixed(in *instr, prefix byte) {
	sub := r.u32()
	in.op = uint32(prefix)<<8 | min(sub, 0xff)
	switch {
	case prefix == 0xfc && sub < uint32(len(shapesFC)):
		in.shape, in.cost = shapesFC[sub], costPlain
		if sub >= 8 && sub != 0x10 { // all but table.size
			in.cost = costBulk
		}
		if in.op == opTableGrow {
			in.cost = costGrow
		}
	case prefix == 0xfd && sub < uint32(len(shapesFD)):
		in.shape, in.cost = shapesFD[sub], costsFD[sub]
	default:
		in.shape = shapeUnknown
		if r.err == nil {
			r.failAt(in.pos, "unknown opcode 0x%02x 0x%02x", prefix, sub)
		}
	}
}

// blockType returns a type index, or a negative number: emptyBlock, or a value
// type as the byte is when read as a signed integer.
func (r *reader) blockType() int64 {
	if r.pos < r.end {
		switch c := r.b[r.pos]; {
		case c == 0x40:
			r.pos++
			return emptyBlock
		case ValueType(c).known():
			r.pos++
			return int64(int8(c<<1) >> 1)
		}
	}
	start := r.pos
	v := r.signed(33)
	if v < 0 {
		r.failAt(start, "unknown block type")
	}
	return v
}

const emptyBlock = -64

func (r *reader) valueType() ValueType {
	c := ValueType(r.byte())
	if r.err == nil && !c.known() {
		r.failAt(r.pos-1, "unknown value type 0x%02x", byte(c))
	}
	return c
}

func (r *reader) refType() ValueType {
	c := ValueType(r.byte())
	if r.err == nil && c != FuncRef && c != ExternRef {
		r.failAt(r.pos-1, "unknown reference type 0x%02x", byte(c))
	}
	return c
}
