#include "kernels/bitpack.h"

#include <cinttypes>
#include <cstring>

#include "base/checked.h"

namespace qsr {

Status packed_size(int64_t count, int bits, int64_t* bytes) noexcept {
  if (bits < kMinBits || bits > kMaxBits) {
    return failure(Code::kArgument, "bits: found %d, expected %d to %d", bits, kMinBits, kMaxBits);
  }
  int64_t total_bits = 0;
  if (!checked_multiply(count, bits, &total_bits)) {
    return failure(Code::kArgument, "count: found %" PRId64 ", expected 0 to 2^63 / bits", count);
  }
  *bytes = total_bits / 8 + (total_bits % 8 != 0);
  return {};
}

Status pack_bits(const int16_t* codes, int64_t count, int bits, bool is_signed, uint8_t* data) noexcept {
  int64_t bytes = 0;
  if (Status status = packed_size(count, bits, &bytes); !status.ok()) return status;
  const int lowest = is_signed ? -(1 << (bits - 1)) : 0;
  const int highest = lowest + (1 << bits) - 1;
  const unsigned mask = (1u << bits) - 1u;

  if (bytes > 0) std::memset(data, 0, static_cast<size_t>(bytes));
  for (int64_t i = 0; i < count; ++i) {
    if (codes[i] < lowest || codes[i] > highest) {
      return failure(Code::kArgument, "code %" PRId64 ": found %d, expected %d to %d", i, codes[i], lowest, highest);
    }
    // at most 8 + 7 bits: the element touches its byte and perhaps the next one
    const unsigned shifted = (static_cast<unsigned>(codes[i]) & mask) << (i * bits % 8);
    const int64_t byte = i * bits / 8;
    data[byte] = static_cast<uint8_t>(data[byte] | (shifted & 0xffu));
    if (shifted > 0xffu) data[byte + 1] = static_cast<uint8_t>(shifted >> 8);
  }
  return {};
}

Status unpack_bits(const uint8_t* data, int64_t bytes, int64_t count, int bits, bool is_signed, int16_t* codes) noexcept {
  int64_t expected = 0;
  if (Status status = packed_size(count, bits, &expected); !status.ok()) return status;
  if (bytes != expected) {
    return failure(Code::kFormat,
                   "packed codes: found %" PRId64 " bytes, expected %" PRId64 " (%" PRId64 " elements of %d bits)",
                   bytes, expected, count, bits);
  }
  const int used = static_cast<int>(count * bits % 8);  // bits of the last byte that hold elements; 0: all of them
  if (used != 0 && (data[bytes - 1] >> used) != 0) {
    return failure(Code::kFormat, "packed codes: the %d padding bits behind the last element are not zero", 8 - used);
  }
  const unsigned mask = (1u << bits) - 1u;
  const int sign_bit = 1 << (bits - 1);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t byte = i * bits / 8;
    const int offset = static_cast<int>(i * bits % 8);
    unsigned window = data[byte];
    if (offset + bits > 8) window |= static_cast<unsigned>(data[byte + 1]) << 8;
    const int raw = static_cast<int>((window >> offset) & mask);
    codes[i] = static_cast<int16_t>(is_signed && (raw & sign_bit) ? raw - 2 * sign_bit : raw);
  }
  return {};
}

}  // namespace qsr
