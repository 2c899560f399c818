// Codes to the canonical bit layout of contract.h part 4 and back. int16_t holds both uint8 and int8 codes.
#pragma once

#include <cstdint>

#include "kernels/contract.h"

namespace qsr {

// *bytes = ceil(count * bits / 8). Refuses bits outside 1..8, a negative count and a size beyond int64.
Status packed_size(int64_t count, int bits, int64_t* bytes) noexcept;

// data: packed_size bytes, owned by the caller. Refuses a code outside the range of `bits` and `is_signed` (kArgument).
Status pack_bits(const int16_t* codes, int64_t count, int bits, bool is_signed, uint8_t* data) noexcept;

// codes: `count` elements, owned by the caller. Refuses a wrong number of bytes and padding bits that are not zero (kFormat).
Status unpack_bits(const uint8_t* data, int64_t bytes, int64_t count, int bits, bool is_signed, int16_t* codes) noexcept;

}  // namespace qsr
