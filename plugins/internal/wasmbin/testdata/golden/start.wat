;; A start function, names, and nothing exported before.
(module $named
  (memory 1)
  (func $main (i32.store (i32.const 0) (i32.const 42)))
  (start $main))
