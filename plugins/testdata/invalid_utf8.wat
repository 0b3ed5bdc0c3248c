;; Its message is no UTF-8.
(module
  (memory (export "memory") 8)
  (data (i32.const 0x60000) "{\"verdict\":\"deny\",\"message\":\"\ff\"}")
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64) i64.const 0x0006000000000020))
