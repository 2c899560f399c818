// The inner loop of the float convolutions: T rows of activations against V vectors of outputs, all sums in registers.
// Include behind lanes_avx512.h or lanes_avx2.h.
#pragma once

#include <cstddef>
#include <utility>

namespace qsr {
namespace {

// out[t][j] = sum over g < segments, k < depth of  segment[g][t * stride + k] * weights[g][k][j],   t < T, j < V * kLanes
struct Product {
  const float* const* segment;
  int segments;
  int depth;
  size_t stride;         // floats between rows of activations
  const float* weights;  // in the order of use, without gaps
  float* out;
  size_t out_stride;
};

using ProductFunction = void (*)(const Product&) noexcept;

constexpr int kMaxVectors = kRegisters == 32 ? 4 : 2;

// V T sums, V weights and one activation fill the registers; at least 8 sums hide the latency of the multiply-adds.
constexpr int max_rows(int vectors) noexcept { return kRegisters == 16 ? 6 : vectors == 4 ? 6 : vectors == 3 ? 8 : 12; }
constexpr int kMaxRows = 12;

template <int V, int T>
void multiply(const Product& p) noexcept {
  F sums[T][V];
#pragma GCC unroll 12
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[t][v] = zero();
  }
  const float* weights = p.weights;
  const size_t stride = p.stride;
  for (int g = 0; g < p.segments; ++g) {
    const float* a = p.segment[g];
    for (const float* end = a + p.depth; a != end; ++a, weights += V * kLanes) {
      F w[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) w[v] = load(weights + static_cast<size_t>(v) * kLanes);
#pragma GCC unroll 12
      for (int t = 0; t < T; ++t) {
        const F x = broadcast(a + static_cast<size_t>(t) * stride);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sums[t][v] = fma(x, w[v], sums[t][v]);
      }
    }
  }
#pragma GCC unroll 12
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(p.out + static_cast<size_t>(t) * p.out_stride + static_cast<size_t>(v) * kLanes, sums[t][v]);
  }
}

template <int V, int... T>
constexpr ProductFunction pick(int rows, std::integer_sequence<int, T...>) noexcept {
  constexpr ProductFunction functions[] = {multiply<V, T + 1>...};
  return functions[rows - 1];
}

// rows: 1..max_rows(vectors)
inline ProductFunction product_function(int vectors, int rows) noexcept {
  if constexpr (kMaxVectors == 4) {
    if (vectors == 4) return pick<4>(rows, std::make_integer_sequence<int, max_rows(4)>());
    if (vectors == 3) return pick<3>(rows, std::make_integer_sequence<int, max_rows(3)>());
    if (vectors == 1) return pick<1>(rows, std::make_integer_sequence<int, max_rows(1)>());
  }
  return pick<2>(rows, std::make_integer_sequence<int, max_rows(2)>());
}

// `rows` rows in evenly sized blocks: as fast as their smallest allows. p.segment has at most 15 entries.
inline void multiply_rows(Product p, int vectors, int rows) noexcept {
  const float* segment[15];
  for (int g = 0; g < p.segments; ++g) segment[g] = p.segment[g];
  p.segment = segment;
  const int most = max_rows(vectors), blocks = (rows + most - 1) / most, size = rows / blocks, larger = rows % blocks;
  for (int block = 0; block < blocks; ++block) {
    const int count = block < larger ? size + 1 : size;
    product_function(vectors, count)(p);
    for (int g = 0; g < p.segments; ++g) segment[g] += static_cast<size_t>(count) * p.stride;
    p.out += static_cast<size_t>(count) * p.out_stride;
  }
}

// Calls function(first, width) for the outputs begin..end - 1, a multiple of 16, in blocks that the registers hold.
template <typename Function>
void over_registers(size_t begin, size_t end, Function function) noexcept {
  constexpr size_t most = kMaxVectors * kLanes;
  for (size_t first = begin; first < end; first += most) function(first, end - first < most ? end - first : most);
}

}  // namespace
}  // namespace qsr
