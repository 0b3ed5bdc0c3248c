;; Answers with its settings, byte for byte, and keeps them in its own memory.
(module
  (memory (export "memory") 8)
  (global $n (mut i32) (i32.const 0))
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_configure") (param i32) (result i64)
    (memory.copy (i32.const 0x60000) (i32.const 0x10000) (local.get 0))
    (global.set $n (local.get 0))
    i64.const 0)
  (func (export "knock_v1_decide") (param i32) (result i64)
    (i64.or (i64.const 0x0006000000000000) (i64.extend_i32_u (global.get $n)))))
