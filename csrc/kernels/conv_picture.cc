#include "kernels/conv_picture.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/poison.h"

namespace qsr {
namespace {

// Memory that notices when somebody wrote before or behind it: also from assembly, which AddressSanitizer does not see into.
// Under AddressSanitizer the guards are poisoned as well, and reading them is noticed.
struct Aligned {
  static constexpr size_t kGuard = 64;
  static constexpr uint8_t kMark = 0x5a;

  explicit Aligned(size_t size) : count(size), whole(std::aligned_alloc(64, round_up(size, 64) + 2 * kGuard)) {
    if (!whole) return;
    data = static_cast<uint8_t*>(whole) + kGuard;
    for (uint8_t* guard : {data - kGuard, data + count}) {
      std::memset(guard, kMark, kGuard);
      poison(guard, kGuard);
    }
  }
  ~Aligned() { std::free(whole); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  uint8_t* bytes() const noexcept { return data; }
  bool intact() const noexcept {
    for (const uint8_t* guard : {data - kGuard, data + count}) {
      unpoison(guard, kGuard);
      if (std::count(guard, guard + kGuard, kMark) != kGuard) return false;
    }
    return true;
  }
  size_t count;
  void* whole;
  uint8_t* data = nullptr;
};

void store_pixel(const RowConv& conv, const void* activations, size_t pixel, uint8_t* target) noexcept {
  const size_t c_in = static_cast<size_t>(conv.c_in);
  if (conv.input == Input::kFloat) {
    std::memcpy(target, static_cast<const float*>(activations) + pixel * c_in, 4 * c_in);
    return;
  }
  const int16_t* codes = static_cast<const int16_t*>(activations) + pixel * c_in;
  for (size_t c = 0; c < c_in; ++c) {
    if (conv.input == Input::kBits) {
      if (codes[c] < 0) target[c / 8] = static_cast<uint8_t>(target[c / 8] | (1 << (c % 8)));
    } else {
      target[c] = static_cast<uint8_t>(codes[c] + conv.zero());
    }
  }
}

// What padded taps of kBits added, off the sums of one pixel again.
void take_off(const RowConv& conv, const int32_t* sums, int y, int x, int height, int width, int32_t* out) noexcept {
  for (int u = 0; u < conv.kh; ++u) {
    for (int v = 0; v < conv.kw; ++v) {
      const int yy = y + u - conv.kh / 2, xx = x + v - conv.kw / 2;
      if (yy >= 0 && yy < height && xx >= 0 && xx < width) continue;
      const int32_t* tap = sums + static_cast<size_t>(u * conv.kw + v) * conv.c_out_padded();
      for (int o = 0; o < conv.c_out; ++o) out[o] -= tap[o];
    }
  }
}

}  // namespace

Status conv_picture(const RowKernel& kernel, const RowConv& conv, const void* activations, const void* weights, int height, int width,
                    int repeat, void* out, double* seconds) noexcept {
  if (Status status = check_row_conv(conv); !status.ok()) return status;
  if (height < 1 || width < 1 || !isa_supported(kernel.isa) || !kernel.fits(conv)) {
    return failure(Code::kArgument, "%s does not run this convolution on this machine", kernel.name);
  }
  const size_t stride = conv.pixel_bytes(), padded = conv.c_out_padded(), columns = static_cast<size_t>(width + conv.kw - 1);
  const int above = conv.kh / 2, tiles = (height + kernel.tile_rows - 1) / kernel.tile_rows;
  const size_t row_bytes = round_up((columns + kSlackPixels) * stride + 64, 64) + stride;  // rows start at any pixel of a cache line
  const size_t row_count = static_cast<size_t>(tiles * kernel.tile_rows + conv.kh - 1);
  const size_t acc_stride = kernel.acc_stride(conv), sum_row = round_up(static_cast<size_t>(width), 16) * acc_stride;
  const Aligned rows((row_count - 1) * row_bytes + (columns + kSlackPixels) * stride + 64), packed(kernel.packed_bytes(conv));
  const Aligned acc(4 * sum_row * static_cast<size_t>(kernel.tile_rows)), scratch(kernel.scratch_bytes(conv, width));
  const Aligned taps(4 * padded * static_cast<size_t>(conv.kh * conv.kw));
  if (!rows.data || !packed.data || !acc.data || !scratch.data || !taps.data) return failure(Code::kMemory, "out of memory");

  // slack, sums and scratch may hold anything: here not-a-number, 255 and -1
  std::memset(rows.data, 0xff, rows.count);
  for (size_t row = 0; row < row_count; ++row) std::memset(rows.bytes() + row * row_bytes, conv.zero(), columns * stride);
  std::memset(acc.data, 0xff, 4 * sum_row * static_cast<size_t>(kernel.tile_rows));
  std::memset(scratch.data, 0xff, kernel.scratch_bytes(conv, width));
  for (int y = 0; y < height; ++y) {
    uint8_t* row = rows.bytes() + static_cast<size_t>(y + above) * row_bytes + static_cast<size_t>(conv.kw / 2) * stride;
    for (int x = 0; x < width; ++x) {
      store_pixel(conv, activations, static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x),
                  row + static_cast<size_t>(x) * stride);
    }
  }
  kernel.pack(conv, weights, packed.data);
  if (conv.input == Input::kBits) tap_sums(conv, static_cast<const int16_t*>(weights), reinterpret_cast<int32_t*>(taps.data));

  const uint8_t* pointers[15 + kMaxTileRows];
  *seconds = 1e9;
  for (int run = 0; run < std::max(repeat, 1); ++run) {
    const auto start = std::chrono::steady_clock::now();
    for (int tile = 0; tile < tiles; ++tile) {
      for (int r = 0; r < conv.kh - 1 + kernel.tile_rows; ++r) {
        pointers[r] = rows.bytes() + static_cast<size_t>(tile * kernel.tile_rows + r) * row_bytes;
      }
      kernel.run(conv, packed.data, pointers, width, acc.data, scratch.data);
      if (run > 0) continue;
      for (int t = 0; t < kernel.tile_rows && tile * kernel.tile_rows + t < height; ++t) {
        const int y = tile * kernel.tile_rows + t;
        for (int x = 0; x < width; ++x) {
          const size_t at = (static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)) * static_cast<size_t>(conv.c_out);
          const uint8_t* from = acc.bytes() + 4 * (static_cast<size_t>(t) * sum_row + static_cast<size_t>(x) * acc_stride);
          uint8_t* to = static_cast<uint8_t*>(out) + 4 * at;
          std::memcpy(to, from, 4 * static_cast<size_t>(conv.c_out));
          if (conv.input == Input::kBits) {
            take_off(conv, reinterpret_cast<const int32_t*>(taps.data), y, x, height, width, reinterpret_cast<int32_t*>(to));
          }
        }
      }
    }
    *seconds = std::min(*seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  if (!rows.intact() || !packed.intact() || !acc.intact() || !scratch.intact() || !taps.intact()) return failure(Code::kArgument, "%s wrote beside its memory", kernel.name);
  return {};
}

}  // namespace qsr
