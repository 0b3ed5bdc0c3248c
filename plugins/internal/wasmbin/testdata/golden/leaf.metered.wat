(module
  (type (;0;) (func (param i32 i32) (result i32)))
  (type (;1;) (func (param i32) (result i64)))
  (func (;0;) (type 0) (param i32 i32) (result i32)
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
    local.get 0
    local.get 1
    i32.add)
  (func (;1;) (type 1) (param i32) (result i64)
    (local i64)
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
    loop  ;; label = @1
      global.get 0
      i64.const 1
      i64.sub
      global.set 0
      global.get 0
      i64.const 0
      i64.lt_s
      if  ;; label = @2
        unreachable
      end
      local.get 1
      local.get 0
      i64.extend_i32_u
      i64.add
      local.set 1
      local.get 0
      i32.const 1
      i32.sub
      local.tee 0
      br_if 0 (;@1;)
    end
    local.get 1)
  (global (;0;) (mut i64) (i64.const 1000))
  (global (;1;) (mut i32) (i32.const 100))
  (export "add" (func 0))
  (export "run" (func 1))
  (export "knockgate.fuel" (global 0))
  (export "knockgate.depth" (global 1)))
