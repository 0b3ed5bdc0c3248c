;; Changes its state and then traps, if the frame says send_knock. Any later
;; call of the same instance would allow.
(module
  (memory (export "memory") 8)
  (global $spoiled (mut i32) (i32.const 0))
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64)
    (if (global.get $spoiled) (then (return (i64.const 1))))
    (if (i32.eq (i32.load (i32.const 0x10008)) (i32.const 2)) (then
      (global.set $spoiled (i32.const 1))
      unreachable))
    i64.const 2))
