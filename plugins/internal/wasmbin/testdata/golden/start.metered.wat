(module $named
  (type (;0;) (func))
  (func $main (type 0)
    global.get 0
    i64.const 1
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    i32.const 0
    i32.const 42
    i32.store)
  (memory (;0;) 1)
  (global (;0;) (mut i64) (i64.const 1000))
  (global (;1;) (mut i32) (i32.const 100))
  (export "knockgate.fuel" (global 0))
  (export "knockgate.depth" (global 1))
  (start $main))
