// Memory of networks: 64-byte aligned, given back by its owner, never thrown about.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "kernels/conv_rows.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace qsr {

class Buffer {
 public:
  Buffer() = default;
  // Arbitrary contents; ok() says whether there was memory.
  explicit Buffer(size_t bytes) noexcept : data_(std::aligned_alloc(64, round_up(bytes ? bytes : 1, 64))) {}
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  // For maps that are gone through once per layer: on large pages where the system has them, since 4 KiB pages of one map alone
  // are more than a core remembers the places of.
  static Buffer large(size_t bytes) noexcept {
    constexpr size_t kPage = size_t{2} << 20;
    if (bytes < 2 * kPage) return Buffer(bytes);
    Buffer made;
    made.data_ = std::aligned_alloc(kPage, round_up(bytes, kPage));
#if defined(MADV_HUGEPAGE)
    if (made.ok()) (void)madvise(made.data_, round_up(bytes, kPage), MADV_HUGEPAGE);
#endif
    return made;
  }

  static Buffer zeros(size_t bytes) noexcept {
    Buffer made(bytes);
    if (made.ok()) std::memset(made.data_, 0, bytes);
    return made;
  }

  bool ok() const noexcept { return data_ != nullptr; }
  uint8_t* bytes() const noexcept { return static_cast<uint8_t*>(data_); }
  float* floats() const noexcept { return static_cast<float*>(data_); }

 private:
  void* data_ = nullptr;
};

}  // namespace qsr
