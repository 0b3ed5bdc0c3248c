;; Built for an ABI of the future.
(module
  (memory (export "memory") 8)
  (func (export "knock_v2_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v2_decide") (param i32) (result i64) i64.const 1))
