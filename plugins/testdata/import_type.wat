;; Imports a host function with another type.
(module
  (import "knock_v1" "now_ms" (func (result i32)))
  (memory (export "memory") 8)
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64) i64.const 1))
