;; Asks for a page with every call, and allows while it gets one.
(module
  (memory (export "memory") 8)
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64)
    (if (result i64) (i32.eq (memory.grow (i32.const 1)) (i32.const -1))
      (then i64.const 2) (else i64.const 1))))
