;; Every way out of a function that calls: return, br, br_if, br_table to its
;; own label, the end; dead code after each.
(module
  (func $odd (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then i32.const 0)
      (else (call $even (i32.sub (local.get 0) (i32.const 1))))))
  (func $even (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then i32.const 1 return i32.const 7 drop))
    (call $odd (i32.sub (local.get 0) (i32.const 1))))
  (func $ways (param i32) (result i32)
    (block $b
      (block $a
        (drop (br_if 2 (i32.const 10) (i32.eqz (call $odd (local.get 0)))))
        (br_table $a $b $a (i32.shr_u (local.get 0) (i32.const 1)))
        unreachable)
      i32.const 30
      br 1
      i64.const 3
      drop)
    i32.const 40)
  (func (export "run") (param i32) (result i64)
    (i64.extend_i32_s (i32.add (call $even (local.get 0)) (call $ways (local.get 0))))))
