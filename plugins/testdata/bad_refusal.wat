;; Refuses its settings with a result that is no object.
(module
  (memory (export "memory") 8)
  (data (i32.const 0x60000) "no")
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_configure") (param i32) (result i64) i64.const 0x0006000000000002)
  (func (export "knock_v1_decide") (param i32) (result i64) i64.const 1))
