;; Takes memory until there is no more, and then writes behind its end.
(module
  (memory (export "memory") 8)
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64)
    (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (i32.store (i32.mul (memory.size) (i32.const 65536)) (i32.const 1))
    i64.const 1))
