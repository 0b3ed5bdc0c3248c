;; Denies, and notes what it remembers of the knocks before: their count, which
;; is in a global, and a text that the last one left in memory.
(module
  (memory (export "memory") 8)
  (global $n (mut i32) (i32.const 0))
  (data (i32.const 1024) "{\22verdict\22:\22deny\22,\22note\22:\220:-----\22}")
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64)
    ;; the digit is the global, the five bytes are what memory holds
    (i32.store8 (i32.const 1050) (i32.add (i32.const 48) (global.get $n)))
    (memory.copy (i32.const 1052) (i32.const 2048) (i32.const 5))
    ;; remember: the count, and a text of this call
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.store (i32.const 2048) (i32.const 0x2d716572))
    (i32.store8 (i32.const 2052) (i32.add (i32.const 48) (global.get $n)))
    (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const 35)))
  (data (i32.const 2048) "-----"))
