;; A program, not a reactor.
(module
  (memory (export "memory") 8)
  (func (export "_start")))
