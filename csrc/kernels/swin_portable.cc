// Swin layers on any machine, and the vocabulary that linear.inc, transcendental.inc and swin.inc are written in:
//   V               kLanes floats
//   kTile           vectors of tokens beside kLinearBlock outputs in registers; kQueryVectors the same in attention
//   load, store, load_some, store_some (the first `count` floats, 0 for the rest), splat, splat_word (a float's bits)
//   + - * / of V; fma(a, b, c) = a b + c; vmax, vmin, vabs, vneg, vsqrt, vrint (half to even, |x| < 2^22)
//   with_sign(size, x): size where x >= 0, else -size;  where_not_less(x, least, value): value where x >= least, else 0
//   times_power(x, n): x * 2^n for whole n in -126..126;  transpose(V[kLanes])
// and, for integers (QSR_SWIN_INTEGERS): I, kLanes uint32, with + - <<, isplat, to_int (half to even), sign_mask (all ones where
// x < 0, else 0), store_int, and BytesDot, PairsDot, BitsDot (as FloatDot in linear.inc). Without them codes are multiplied as
// the floats that they stand for.
#include <cstring>

#include "kernels/swin_parts.h"

#define QSR_SWIN_INTEGERS 0
#define QSR_UNROLL _Pragma("GCC unroll 16")
#define QSR_NOINLINE __attribute__((noinline))

namespace qsr {
namespace {

constexpr int kLanes = 4, kTile = 2, kQueryVectors = 2;
typedef float V __attribute__((vector_size(16)));

inline V load(const float* p) noexcept {
  V v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void store(float* p, V v) noexcept { std::memcpy(p, &v, sizeof(v)); }
inline V load_some(const float* p, int count) noexcept {
  V v = {};
  std::memcpy(&v, p, sizeof(float) * static_cast<size_t>(count));
  return v;
}
inline void store_some(float* p, int count, V v) noexcept { std::memcpy(p, &v, sizeof(float) * static_cast<size_t>(count)); }
inline V splat(float x) noexcept { return V{x, x, x, x}; }
inline V splat_word(const uint32_t* p) noexcept {
  float x;
  std::memcpy(&x, p, 4);
  return splat(x);
}
inline V fma(V a, V b, V c) noexcept { return a * b + c; }
inline V vmax(V a, V b) noexcept { return a > b ? a : b; }
inline V vmin(V a, V b) noexcept { return a < b ? a : b; }
inline V vabs(V x) noexcept { return vmax(x, -x); }
inline V vneg(V x) noexcept { return -x; }
inline V vsqrt(V x) noexcept {
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
inline V vrint(V x) noexcept {  // at 1.5 * 2^23 the spacing of floats is 1
  const V big = splat(12582912.0f);
  return (x + big) - big;
}
inline V with_sign(V size, V x) noexcept { return x < splat(0.0f) ? -size : size; }
inline V where_not_less(V x, V least, V value) noexcept { return x >= least ? value : splat(0.0f); }
inline V times_power(V x, V n) noexcept {
  typedef int32_t Whole __attribute__((vector_size(16)));
  return x * reinterpret_cast<V>((__builtin_convertvector(n, Whole) + 127) << 23);
}
inline void transpose(V (&v)[kLanes]) noexcept {
  for (int i = 0; i < kLanes; ++i) {
    for (int j = 0; j < i; ++j) {
      const float x = v[i][j];
      v[i][j] = v[j][i];
      v[j][i] = x;
    }
  }
}

#include "kernels/transcendental.inc"
#include "kernels/linear.inc"
#include "kernels/swin.inc"

}  // namespace

extern const SwinCode swin_portable = {run_windows, exp2_all, gelu_all};

}  // namespace qsr
