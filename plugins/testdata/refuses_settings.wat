;; Refuses whatever it is given.
(module
  (memory (export "memory") 8)
  (data (i32.const 0x60000) "{\"errors\":[{\"path\":\"rules[0].min\",\"message\":\"must be a number\"},{\"path\":\"\",\"message\":\"no rule is left\"}]}")
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_configure") (param i32) (result i64) i64.const 0x0006000000000069)
  (func (export "knock_v1_decide") (param i32) (result i64) i64.const 1))
