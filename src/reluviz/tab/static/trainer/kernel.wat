;; Minibatch updates of one model in place, and NumPy's random numbers: a twin of kernel.js, with the same bits.
;;
;; kernel_wasm.js holds this file assembled; `python tests/tab/kernel_module.py` writes that file anew.
;;
;; Memory, in bytes; every array begins at a multiple of 16:
;;   0    Adam's b1^t and b2^t
;;   16   four words of ones, then four words of zeros: which samples of a group of four exist
;;   80   eight words: scratch memory of `fill`
;;   144  what session.js places there
;;
;; `stride` is 8 times the number of units, rounded up to an even number. A row is w, b, v, of `stride` bytes each, then c
;; and 8 bytes of padding. There are four rows: parameters, gradient, first moments, second moments. Padding stays 0. A
;; model f = theta phi(x) has no units; theta is c, and the points hold phi(x) in the place of x.
(module
  (memory (export "memory") 1)
  (data (i32.const 16)
    "\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff")

  ;; Write scale m to `out`, with m the first 53 bits of numbers start .. start + count - 1 of a stream of Philox4x64-10:
  ;; `fill_random` of data/samplers.py. `out` is of float64, or of int32 where `integers` is 1.
  ;;
  ;; Each of ten rounds makes (hi_c ^ b ^ k0, lo_c, hi_a ^ d ^ k1, lo_a) of (a, b, c, d), with the 128-bit products
  ;; (hi_a, lo_a) = M0 a and (hi_c, lo_c) = M1 c. They are made of products of 32-bit halves. Two blocks are computed at a
  ;; time: the four words of $low and of $high are the lower and the upper halves of (a, c) of the first block and of the
  ;; second one, those of $low2 and $high2 the halves of (b, d). Of two names that end in a and b, the first is for the
  ;; first block.
  (func (export "fill")
    (param $seed f64) (param $stream f64) (param $start f64) (param $scale f64)
    (param $out i32) (param $count i32) (param $integers i32)
    (local $block i64) (local $round i32) (local $i i32) (local $j i32) (local $value f64)
    (local $low v128) (local $high v128) (local $low2 v128) (local $high2 v128) (local $key v128)
    (local $pa v128) (local $pb v128) (local $sa v128) (local $sb v128) (local $ta v128) (local $tb v128)
    (local $ml v128) (local $mh v128) (local $mask v128)
    (local.set $block (i64.trunc_f64_u (local.get $start)))
    ;; the first block may begin before the first number
    (local.set $i (i32.sub (i32.const 0) (i32.and (i32.wrap_i64 (local.get $block)) (i32.const 3))))
    (local.set $block (i64.shr_u (local.get $block) (i64.const 2)))
    ;; lower and upper halves of M0 and M1
    (local.set $ml (v128.const i32x4 0xe14c6c93 0x95121157 0xe14c6c93 0x95121157))
    (local.set $mh (v128.const i32x4 0xd2e7470e 0xca5a8263 0xd2e7470e 0xca5a8263))
    (local.set $mask (v128.const i32x4 -1 0 -1 0))
    (loop $blocks
      ;; NumPy increments the counter before it computes a block
      (local.set $low (i64x2.add (i64x2.splat (local.get $block)) (v128.const i64x2 1 2)))
      (local.set $block (i64.add (local.get $block) (i64.const 2)))
      (local.set $high (i64x2.shr_u (local.get $low) (i32.const 32)))
      (local.set $low (v128.and (local.get $low) (local.get $mask)))
      (local.set $low2 (v128.const i64x2 0 0))
      (local.set $high2 (v128.const i64x2 0 0))
      (local.set $key
        (i64x2.replace_lane 1
          (i64x2.splat (i64.trunc_f64_u (local.get $seed)))
          (i64.trunc_f64_u (local.get $stream))))
      (local.set $round (i32.const 10))
      (loop $rounds
        (local.set $pa (i64x2.extmul_low_i32x4_u (local.get $low) (local.get $ml)))
        (local.set $pb (i64x2.extmul_high_i32x4_u (local.get $low) (local.get $ml)))
        (local.set $sa
          (i64x2.add
            (i64x2.extmul_low_i32x4_u (local.get $high) (local.get $ml))
            (i64x2.shr_u (local.get $pa) (i32.const 32))))
        (local.set $sb
          (i64x2.add
            (i64x2.extmul_high_i32x4_u (local.get $high) (local.get $ml))
            (i64x2.shr_u (local.get $pb) (i32.const 32))))
        (local.set $ta
          (i64x2.add
            (i64x2.extmul_low_i32x4_u (local.get $low) (local.get $mh))
            (v128.and (local.get $sa) (local.get $mask))))
        (local.set $tb
          (i64x2.add
            (i64x2.extmul_high_i32x4_u (local.get $low) (local.get $mh))
            (v128.and (local.get $sb) (local.get $mask))))
        (local.set $sa
          (i64x2.add
            (i64x2.extmul_low_i32x4_u (local.get $high) (local.get $mh))
            (i64x2.add
              (i64x2.shr_u (local.get $sa) (i32.const 32))
              (i64x2.shr_u (local.get $ta) (i32.const 32)))))
        (local.set $sb
          (i64x2.add
            (i64x2.extmul_high_i32x4_u (local.get $high) (local.get $mh))
            (i64x2.add
              (i64x2.shr_u (local.get $sb) (i32.const 32))
              (i64x2.shr_u (local.get $tb) (i32.const 32)))))
        ;; hi is in $sa and $sb; the lower half of lo in the lower words of $pa and $pb, its upper half in those of $ta, $tb
        (local.set $low
          (v128.xor
            (v128.xor
              (i8x16.shuffle 8 9 10 11 0 1 2 3 24 25 26 27 16 17 18 19 (local.get $sa) (local.get $sb))
              (local.get $low2))
            (i8x16.shuffle 0 1 2 3 8 9 10 11 0 1 2 3 8 9 10 11 (local.get $key) (local.get $key))))
        (local.set $high
          (v128.xor
            (v128.xor
              (i8x16.shuffle 12 13 14 15 4 5 6 7 28 29 30 31 20 21 22 23 (local.get $sa) (local.get $sb))
              (local.get $high2))
            (i8x16.shuffle 4 5 6 7 12 13 14 15 4 5 6 7 12 13 14 15 (local.get $key) (local.get $key))))
        (local.set $low2 (i8x16.shuffle 8 9 10 11 0 1 2 3 24 25 26 27 16 17 18 19 (local.get $pa) (local.get $pb)))
        (local.set $high2 (i8x16.shuffle 8 9 10 11 0 1 2 3 24 25 26 27 16 17 18 19 (local.get $ta) (local.get $tb)))
        (local.set $key (i64x2.add (local.get $key) (v128.const i64x2 0x9e3779b97f4a7c15 0xbb67ae8584caa73b)))
        (br_if $rounds (local.tee $round (i32.sub (local.get $round) (i32.const 1)))))
      ;; (a, c) and (b, d) of each block, then the four words in order
      (local.set $pa (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $low) (local.get $high)))
      (local.set $pb (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $low) (local.get $high)))
      (local.set $ta (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $low2) (local.get $high2)))
      (local.set $tb (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $low2) (local.get $high2)))
      (v128.store (i32.const 80)
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $pa) (local.get $ta)))
      (v128.store (i32.const 96)
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $pa) (local.get $ta)))
      (v128.store (i32.const 112)
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $pb) (local.get $tb)))
      (v128.store (i32.const 128)
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $pb) (local.get $tb)))
      (local.set $j (i32.const 80))
      (loop $words
        (if (i32.lt_u (local.get $i) (local.get $count))
          (then
            (local.set $value
              (f64.mul
                (f64.convert_i64_s (i64.shr_u (i64.load (local.get $j)) (i64.const 11)))
                (local.get $scale)))
            (if (local.get $integers)
              (then
                (i32.store
                  (i32.add (local.get $out) (i32.shl (local.get $i) (i32.const 2)))
                  (i32.trunc_sat_f64_s (local.get $value))))
              (else
                (f64.store
                  (i32.add (local.get $out) (i32.shl (local.get $i) (i32.const 3)))
                  (local.get $value))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $words (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 8))) (i32.const 144))))
      (br_if $blocks (i32.lt_s (local.get $i) (local.get $count)))))

  ;; Make updates, and return the mean squared error of the last minibatch before its update.
  ;;
  ;;   updates  their number, at least 1        batch    samples of each
  ;;   indices  int32 [updates, batch], or 0 for all points in order
  ;;   points   (x, y) of each, then zeros up to a multiple of four points
  ;;   chosen   memory for the points of a batch, rounded up to a multiple of four
  ;;   rows     the four rows                   hidden   memory of 4 stride bytes
  ;;   width    number of units                 scaled   1 where f = theta phi(x), else 0
  ;;   method   0 gradient descent, 1 momentum, 2 Nesterov's momentum, 3 Adam
  ;;   first, last   bytes of a row between which its numbers are trained
  ;;   beta1    the momentum, or Adam's beta1
  ;;
  ;; With h = w x + b and, over the active samples h > 0, (S1, Sx) = sum r (1, x), where r = (2 / batch) (f - y):
  ;; dL/dw = v Sx, dL/db = v S1, dL/dv = w Sx + b S1, dL/dc = sum r.
  (func (export "run")
    (param $updates i32) (param $indices i32) (param $batch i32) (param $points i32) (param $chosen i32)
    (param $rows i32) (param $hidden i32) (param $width i32) (param $scaled i32)
    (param $method i32) (param $first i32) (param $last i32)
    (param $rate f64) (param $beta1 f64) (param $beta2 f64) (param $eps f64)
    (result f64)
    (local $stride i32) (local $size i32) (local $end i32) (local $i i32) (local $p i32) (local $q i32) (local $h i32)
    (local $b1t f64) (local $b2t f64) (local $step f64) (local $root f64) (local $one v128) (local $scale v128) (local $c v128)
    (local $total v128) (local $sum v128) (local $r01 v128) (local $r23 v128) (local $phi01 v128) (local $phi23 v128)
    (local $x0 v128) (local $x1 v128) (local $x2 v128) (local $x3 v128)
    (local $f0 v128) (local $f1 v128) (local $f2 v128) (local $f3 v128)
    (local $w v128) (local $b v128) (local $v v128) (local $t v128) (local $zero v128)
    (local $m0 v128) (local $m1 v128) (local $m2 v128) (local $m3 v128)
    (local.set $stride (i32.and (i32.shl (i32.add (local.get $width) (i32.const 1)) (i32.const 3)) (i32.const -16)))
    (local.set $size (i32.add (i32.mul (local.get $stride) (i32.const 3)) (i32.const 16)))
    (local.set $end (i32.add (local.get $rows) (local.get $stride)))
    (local.set $scale (f64x2.splat (f64.div (f64.const 2) (f64.convert_i32_s (local.get $batch)))))
    (local.set $phi01 (f64x2.splat (f64.const 1)))
    (local.set $phi23 (local.get $phi01))
    (local.set $b1t (f64.load (i32.const 0)))
    (local.set $b2t (f64.load (i32.const 8)))
    (loop $update
      (if (local.get $indices)
        (then
          (local.set $i (i32.const 0))
          (local.set $q (local.get $chosen))
          (loop $choose
            (v128.store (local.get $q)
              (v128.load (i32.add (local.get $points) (i32.shl (i32.load (local.get $indices)) (i32.const 4)))))
            (local.set $indices (i32.add (local.get $indices) (i32.const 4)))
            (local.set $q (i32.add (local.get $q) (i32.const 16)))
            (br_if $choose (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $batch))))))
      (local.set $c (v128.load64_splat (i32.add (local.get $end) (i32.shl (local.get $stride) (i32.const 1)))))
      (local.set $total (v128.const i64x2 0 0))
      (local.set $sum (v128.const i64x2 0 0))
      ;; the gradient's row holds Sx and S1 first
      (local.set $p (i32.add (local.get $rows) (local.get $size)))
      (local.set $q (i32.add (local.get $p) (i32.shl (local.get $stride) (i32.const 1))))
      (loop $clear
        (v128.store (local.get $p) (v128.const i64x2 0 0))
        (br_if $clear (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $q))))

      (local.set $i (i32.const 0))
      (loop $group
        (local.set $q
          (i32.add
            (select (local.get $chosen) (local.get $points) (local.get $indices))
            (i32.shl (local.get $i) (i32.const 4))))
        (local.set $x0 (v128.load64_splat (local.get $q)))
        (local.set $x1 (v128.load64_splat offset=16 (local.get $q)))
        (local.set $x2 (v128.load64_splat offset=32 (local.get $q)))
        (local.set $x3 (v128.load64_splat offset=48 (local.get $q)))
        (local.set $f0 (v128.const i64x2 0 0))
        (local.set $f1 (v128.const i64x2 0 0))
        (local.set $f2 (v128.const i64x2 0 0))
        (local.set $f3 (v128.const i64x2 0 0))
        (if (local.get $stride)
          (then
            (local.set $p (local.get $rows))
            (local.set $h (local.get $hidden))
            (loop $units
              (local.set $w (v128.load (local.get $p)))
              (local.set $b (v128.load (i32.add (local.get $p) (local.get $stride))))
              (local.set $v (v128.load (i32.add (local.get $p) (i32.shl (local.get $stride) (i32.const 1)))))
              ;; pmax in this order keeps NaN
              (v128.store (local.get $h)
                (local.tee $t
                  (f64x2.pmax (f64x2.add (f64x2.mul (local.get $w) (local.get $x0)) (local.get $b)) (local.get $zero))))
              (local.set $f0 (f64x2.add (local.get $f0) (f64x2.mul (local.get $v) (local.get $t))))
              (v128.store offset=16 (local.get $h)
                (local.tee $t
                  (f64x2.pmax (f64x2.add (f64x2.mul (local.get $w) (local.get $x1)) (local.get $b)) (local.get $zero))))
              (local.set $f1 (f64x2.add (local.get $f1) (f64x2.mul (local.get $v) (local.get $t))))
              (v128.store offset=32 (local.get $h)
                (local.tee $t
                  (f64x2.pmax (f64x2.add (f64x2.mul (local.get $w) (local.get $x2)) (local.get $b)) (local.get $zero))))
              (local.set $f2 (f64x2.add (local.get $f2) (f64x2.mul (local.get $v) (local.get $t))))
              (v128.store offset=48 (local.get $h)
                (local.tee $t
                  (f64x2.pmax (f64x2.add (f64x2.mul (local.get $w) (local.get $x3)) (local.get $b)) (local.get $zero))))
              (local.set $f3 (f64x2.add (local.get $f3) (f64x2.mul (local.get $v) (local.get $t))))
              (local.set $h (i32.add (local.get $h) (i32.const 64)))
              (br_if $units (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end))))))

        ;; x of the four samples in pairs
        (local.set $x0 (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $x0) (local.get $x1)))
        (local.set $x2 (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $x2) (local.get $x3)))
        (if (local.get $scaled)
          (then
            (local.set $phi01 (local.get $x0))
            (local.set $phi23 (local.get $x2))))
        ;; the masks of the samples that exist
        (local.set $p
          (i32.sub
            (i32.const 48)
            (i32.shl
              (select
                (i32.const 4)
                (i32.sub (local.get $batch) (local.get $i))
                (i32.gt_s (i32.sub (local.get $batch) (local.get $i)) (i32.const 4)))
              (i32.const 3))))
        ;; r = (sum of even units + sum of odd units + c phi) - y
        (local.set $r01
          (v128.and (v128.load (local.get $p))
            (f64x2.sub
              (f64x2.add
                (f64x2.add
                  (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $f0) (local.get $f1))
                  (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $f0) (local.get $f1)))
                (f64x2.mul (local.get $c) (local.get $phi01)))
              (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31
                (v128.load (local.get $q)) (v128.load offset=16 (local.get $q))))))
        (local.set $r23
          (v128.and (v128.load offset=16 (local.get $p))
            (f64x2.sub
              (f64x2.add
                (f64x2.add
                  (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $f2) (local.get $f3))
                  (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $f2) (local.get $f3)))
                (f64x2.mul (local.get $c) (local.get $phi23)))
              (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31
                (v128.load offset=32 (local.get $q)) (v128.load offset=48 (local.get $q))))))
        (local.set $total
          (f64x2.add
            (f64x2.add (local.get $total) (f64x2.mul (local.get $r01) (local.get $r01)))
            (f64x2.mul (local.get $r23) (local.get $r23))))
        (local.set $r01 (f64x2.mul (local.get $r01) (local.get $scale)))
        (local.set $r23 (f64x2.mul (local.get $r23) (local.get $scale)))
        (local.set $sum
          (f64x2.add
            (f64x2.add (local.get $sum) (f64x2.mul (local.get $r01) (local.get $phi01)))
            (f64x2.mul (local.get $r23) (local.get $phi23))))

        (if (local.get $stride)
          (then
            ;; r x in x0 .. x3, r in f0 .. f3
            (local.set $x0 (f64x2.mul (local.get $r01) (local.get $x0)))
            (local.set $x2 (f64x2.mul (local.get $r23) (local.get $x2)))
            (local.set $x1 (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $x0) (local.get $x0)))
            (local.set $x3 (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $x2) (local.get $x2)))
            (local.set $x0 (i8x16.shuffle 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 (local.get $x0) (local.get $x0)))
            (local.set $x2 (i8x16.shuffle 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 (local.get $x2) (local.get $x2)))
            (local.set $f0 (i8x16.shuffle 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 (local.get $r01) (local.get $r01)))
            (local.set $f1 (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $r01) (local.get $r01)))
            (local.set $f2 (i8x16.shuffle 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 (local.get $r23) (local.get $r23)))
            (local.set $f3 (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $r23) (local.get $r23)))
            (local.set $p (i32.add (local.get $rows) (local.get $size)))
            (local.set $q (i32.add (local.get $p) (local.get $stride)))
            (local.set $h (local.get $hidden))
            (loop $units
              (local.set $m0 (f64x2.gt (v128.load (local.get $h)) (local.get $zero)))
              (local.set $m1 (f64x2.gt (v128.load offset=16 (local.get $h)) (local.get $zero)))
              (local.set $m2 (f64x2.gt (v128.load offset=32 (local.get $h)) (local.get $zero)))
              (local.set $m3 (f64x2.gt (v128.load offset=48 (local.get $h)) (local.get $zero)))
              (v128.store (local.get $p)
                (f64x2.add
                  (v128.load (local.get $p))
                  (f64x2.add
                    (f64x2.add (v128.and (local.get $m0) (local.get $x0)) (v128.and (local.get $m1) (local.get $x1)))
                    (f64x2.add (v128.and (local.get $m2) (local.get $x2)) (v128.and (local.get $m3) (local.get $x3))))))
              (v128.store (local.get $q)
                (f64x2.add
                  (v128.load (local.get $q))
                  (f64x2.add
                    (f64x2.add (v128.and (local.get $m0) (local.get $f0)) (v128.and (local.get $m1) (local.get $f1)))
                    (f64x2.add (v128.and (local.get $m2) (local.get $f2)) (v128.and (local.get $m3) (local.get $f3))))))
              (local.set $p (i32.add (local.get $p) (i32.const 16)))
              (local.set $h (i32.add (local.get $h) (i32.const 64)))
              (br_if $units
                (i32.lt_u (local.tee $q (i32.add (local.get $q) (i32.const 16)))
                  (i32.add (i32.add (local.get $rows) (local.get $size)) (i32.shl (local.get $stride) (i32.const 1))))))))
        (br_if $group (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $batch))))

      ;; the gradient
      (local.set $p (local.get $rows))
      (local.set $q (i32.add (local.get $rows) (local.get $size)))
      (if (local.get $stride)
        (then
          (loop $units
            (local.set $x0 (v128.load (local.get $q)))
            (local.set $x1 (v128.load (i32.add (local.get $q) (local.get $stride))))
            (local.set $v (v128.load (i32.add (local.get $p) (i32.shl (local.get $stride) (i32.const 1)))))
            (v128.store (local.get $q) (f64x2.mul (local.get $v) (local.get $x0)))
            (v128.store (i32.add (local.get $q) (local.get $stride)) (f64x2.mul (local.get $v) (local.get $x1)))
            (v128.store (i32.add (local.get $q) (i32.shl (local.get $stride) (i32.const 1)))
              (f64x2.add
                (f64x2.mul (v128.load (local.get $p)) (local.get $x0))
                (f64x2.mul (v128.load (i32.add (local.get $p) (local.get $stride))) (local.get $x1))))
            (local.set $q (i32.add (local.get $q) (i32.const 16)))
            (br_if $units (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end))))))
      (f64.store (i32.add (local.get $q) (i32.shl (local.get $stride) (i32.const 1)))
        (f64.add (f64x2.extract_lane 0 (local.get $sum)) (f64x2.extract_lane 1 (local.get $sum))))

      ;; the step, with torch's formulas
      (local.set $p (i32.add (local.get $rows) (local.get $first)))
      (local.set $q (i32.add (local.get $rows) (local.get $last)))
      (local.set $v (f64x2.splat (local.get $rate)))
      (if (i32.eqz (local.get $method))
        (then
          (loop $numbers
            (v128.store (local.get $p)
              (f64x2.sub
                (v128.load (local.get $p))
                (f64x2.mul (local.get $v) (v128.load (i32.add (local.get $p) (local.get $size))))))
            (br_if $numbers (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $q)))))
        (else
          (if (i32.eq (local.get $method) (i32.const 3))
            (then
              (local.set $b1t (f64.mul (local.get $b1t) (local.get $beta1)))
              (local.set $b2t (f64.mul (local.get $b2t) (local.get $beta2)))
              (if (f64.lt (local.get $b1t) (f64.const 1e-37)) (then (local.set $b1t (f64.const 0))))
              (if (f64.lt (local.get $b2t) (f64.const 1e-37)) (then (local.set $b2t (f64.const 0))))
              (local.set $step (f64.div (local.get $rate) (f64.sub (f64.const 1) (local.get $b1t))))
              (local.set $root (f64.div (f64.const 1) (f64.sqrt (f64.sub (f64.const 1) (local.get $b2t)))))))
          (local.set $x0 (f64x2.splat (local.get $beta1)))
          (local.set $x1 (f64x2.splat (f64.sub (f64.const 1) (local.get $beta1))))
          (local.set $x2 (f64x2.splat (local.get $beta2)))
          (local.set $x3 (f64x2.splat (f64.sub (f64.const 1) (local.get $beta2))))
          (loop $numbers
            (local.set $h (i32.add (local.get $p) (i32.shl (local.get $size) (i32.const 1))))
            (local.set $t (v128.load (i32.add (local.get $p) (local.get $size))))
            (local.set $b (v128.load (local.get $h)))
            ;; moments of dead units would decay until they are subnormal numbers, which are slow
            (if (i32.eq (local.get $method) (i32.const 3))
              (then
                (local.set $b
                  (f64x2.add (local.get $b)
                    (f64x2.mul (local.get $x1) (f64x2.sub (local.get $t) (local.get $b)))))
                (local.set $b
                  (v128.andnot (local.get $b)
                    (f64x2.lt (f64x2.abs (local.get $b)) (v128.const f64x2 1e-37 1e-37))))
                (local.set $w (v128.load (i32.add (local.get $h) (local.get $size))))
                (local.set $w
                  (f64x2.add
                    (f64x2.mul (local.get $x2) (local.get $w))
                    (f64x2.mul (f64x2.mul (local.get $x3) (local.get $t)) (local.get $t))))
                (local.set $w
                  (v128.andnot (local.get $w) (f64x2.lt (local.get $w) (v128.const f64x2 1e-300 1e-300))))
                (v128.store (i32.add (local.get $h) (local.get $size)) (local.get $w))
                (local.set $t
                  (f64x2.div
                    (f64x2.mul (f64x2.splat (local.get $step)) (local.get $b))
                    (f64x2.add
                      (f64x2.mul (f64x2.sqrt (local.get $w)) (f64x2.splat (local.get $root)))
                      (f64x2.splat (local.get $eps))))))
              (else
                (local.set $b (f64x2.add (f64x2.mul (local.get $x0) (local.get $b)) (local.get $t)))
                (local.set $b
                  (v128.andnot (local.get $b)
                    (f64x2.lt (f64x2.abs (local.get $b)) (v128.const f64x2 1e-37 1e-37))))
                (local.set $t
                  (f64x2.mul (local.get $v)
                    (select
                      (local.get $b)
                      (f64x2.add (local.get $t) (f64x2.mul (local.get $x0) (local.get $b)))
                      (i32.eq (local.get $method) (i32.const 1)))))))
            (v128.store (local.get $h) (local.get $b))
            (v128.store (local.get $p) (f64x2.sub (v128.load (local.get $p)) (local.get $t)))
            (br_if $numbers (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $q))))))
      ;; 0 / 0 or an infinite step would have made NaN of the padding
      (if (i32.and (local.get $width) (i32.const 1))
        (then
          (f64.store (i32.sub (local.get $end) (i32.const 8)) (f64.const 0))
          (f64.store (i32.sub (i32.add (local.get $end) (local.get $stride)) (i32.const 8)) (f64.const 0))
          (f64.store
            (i32.sub (i32.add (local.get $end) (i32.shl (local.get $stride) (i32.const 1))) (i32.const 8))
            (f64.const 0))))
      (br_if $update (local.tee $updates (i32.sub (local.get $updates) (i32.const 1)))))
    (f64.store (i32.const 0) (local.get $b1t))
    (f64.store (i32.const 8) (local.get $b2t))
    (f64.div
      (f64.add (f64x2.extract_lane 0 (local.get $total)) (f64x2.extract_lane 1 (local.get $total)))
      (f64.convert_i32_s (local.get $batch))))
)
