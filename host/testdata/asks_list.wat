;; Denies who is in the list "bad", by user ID or by server, and passes the rest. It
;; is an error if there is no such list.
(module
  (import "knock_v1" "list_has" (func $list (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 5)
  (data (i32.const 0) "bad")
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  ;; $field asks for what the table of the request frame has at an offset.
  (func $field (param $at i32) (result i32)
    (call $list (i32.const 0) (i32.const 3)
      (i32.add (i32.const 0x10000) (i32.load (i32.add (i32.const 0x10000) (local.get $at))))
      (i32.load (i32.add (i32.const 0x10004) (local.get $at)))))
  (func (export "knock_v1_decide") (param i32) (result i64) (local $user i32) (local $server i32)
    (local.set $user (call $field (i32.const 0x28)))   ;; field 3
    (local.set $server (call $field (i32.const 0x38))) ;; field 5
    (if (i32.lt_s (i32.or (local.get $user) (local.get $server)) (i32.const 0)) (then (return (i64.const 255))))
    (select (i64.const 2) (i64.const 4) (i32.or (local.get $user) (local.get $server)))))
