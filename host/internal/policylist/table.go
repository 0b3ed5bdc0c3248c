package policylist

import "hash/maphash"

// table is a set of parts of one text: open addressing, at most half full. In a map
// of strings the garbage collector would follow a pointer for each entry.
type table struct {
	text  string
	seed  maphash.Seed
	slots []uint64 // offset<<16 | length; 0 is empty, as no part is
	count int
}

func (t *table) add(offset, length int) {
	if 2*(t.count+1) > len(t.slots) {
		t.grow()
	}
	part := t.text[offset : offset+length]
	if slot, found := t.slot(maphash.String(t.seed, part), func(other string) bool { return other == part }); !found {
		t.slots[slot] = uint64(offset)<<16 | uint64(length)
		t.count++
	}
}

func (t *table) grow() {
	old := t.slots
	if old == nil {
		t.seed = maphash.MakeSeed()
	}
	t.slots = make([]uint64, max(16, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			slot, _ := t.slot(maphash.String(t.seed, t.part(s)), func(string) bool { return false })
			t.slots[slot] = s
		}
	}
}

func (t *table) has(key []byte) bool {
	if t.count == 0 {
		return false
	}
	_, found := t.slot(maphash.Bytes(t.seed, key), func(part string) bool { return part == string(key) })
	return found
}

// slot returns where a part of this hash is, or belongs.
func (t *table) slot(hash uint64, same func(string) bool) (slot int, found bool) {
	mask := len(t.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		if t.slots[i] == 0 {
			return i, false
		}
		if same(t.part(t.slots[i])) {
			return i, true
		}
	}
}

func (t *table) part(slot uint64) string {
	offset, length := int(slot>>16), int(slot&0xffff)
	return t.text[offset : offset+length]
}
