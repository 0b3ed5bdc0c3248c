;; Knows the 24 fields of edition 1.0 and looks for none beyond. Allows a knocker
;; whose membership (field 22) is five bytes long, in a view of the room that is
;; 9 ms old (field 23); anything else is no verdict.
(module
  (memory (export "memory") 8)
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64)
    ;; the table has at least the entries that are read
    (if (i32.lt_u (i32.load (i32.const 0x1000c)) (i32.const 24)) (then (return (i64.const 255))))
    ;; entry 22 is at 16 + 8 * 22 = 192
    (if (i32.ne (i32.load (i32.const 0x100c4)) (i32.const 5)) (then (return (i64.const 255))))
    ;; entry 23 is at 200
    (if (i32.ne (i32.load (i32.const 0x100cc)) (i32.const 8)) (then (return (i64.const 255))))
    (if (i64.ne (i64.load (i32.add (i32.const 0x10000) (i32.load (i32.const 0x100c8)))) (i64.const 9))
      (then (return (i64.const 255))))
    i64.const 1))
