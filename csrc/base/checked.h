// Integer arithmetic that says when it overflows. Sizes come from files; a wrapped product is a short buffer.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace qsr {

// *out = a * b for a, b >= 0. Returns false, leaving *out alone, if a factor is negative or the product exceeds int64.
inline bool checked_multiply(int64_t a, int64_t b, int64_t* out) noexcept {
  if (a < 0 || b < 0) return false;
  if (a != 0 && b > INT64_MAX / a) return false;
  *out = a * b;
  return true;
}

// Product of any number of factors, under the same rule.
inline bool checked_product(std::initializer_list<int64_t> factors, int64_t* out) noexcept {
  int64_t product = 1;
  for (int64_t factor : factors) {
    if (!checked_multiply(product, factor, &product)) return false;
  }
  *out = product;
  return true;
}

}  // namespace qsr
