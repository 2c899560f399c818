#include "kernels/linear_pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace qsr {
namespace {

constexpr int kMaxBitRowsAvx2 = 31;  // counts of 8 bits per row are summed in bytes: 31 * 8 <= 255

// Largest |weight|, or 256 for what a byte does not hold.
int largest_weight(const LinearSpec& spec) noexcept {
  if (spec.weight == LinearSpec::Weight::kSign) return 1;
  int largest = 0;
  const size_t count = static_cast<size_t>(spec.c_in) * static_cast<size_t>(spec.c_out);
  for (size_t i = 0; i < count; ++i) {
    if (spec.codes[i] < -128 || spec.codes[i] > 127) return 256;
    largest = std::max(largest, std::abs(static_cast<int>(spec.codes[i])));
  }
  return largest;
}

Way choose_way(const LinearSpec& spec, Isa isa) noexcept {
  const ActSpec& act = spec.act;
  if (isa == Isa::kPortable || spec.weight == LinearSpec::Weight::kFloat) return Way::kFloat;
  if (act.kind == ActSpec::Kind::kNone) return Way::kFloat;
  if (act.kind == ActSpec::Kind::kSign && act.scaling == ActSpec::Scale::kChannels) return Way::kFloat;
  const int largest = largest_weight(spec);
  if (largest > 128) return Way::kFloat;
  if (act.kind == ActSpec::Kind::kSign && spec.weight == LinearSpec::Weight::kSign &&
      (isa == Isa::kAvx512 || (spec.c_in + 31) / 32 <= kMaxBitRowsAvx2)) {
    return Way::kBits;
  }
  if (isa == Isa::kAvx512) return Way::kBytes;
  // AVX2: vpmaddubsw makes sums of two products, vpaddw adds up those of all rows, both in int16
  const int highest = act.kind == ActSpec::Kind::kSign ? 2 : act.highest + std::max(0, -act.lowest);
  return (spec.c_in + 3) / 4 * 2 * highest * largest <= INT16_MAX ? Way::kBytes : Way::kPairs;
}

int code(const LinearSpec& spec, int plane, size_t i) noexcept {
  return spec.weight == LinearSpec::Weight::kSign ? spec.signs[plane][i] : spec.codes[i];
}

float dense_weight(const LinearSpec& spec, size_t o, size_t i) noexcept {
  if (spec.weight == LinearSpec::Weight::kFloat) return spec.dense[i];
  float sum = 0;
  for (int p = 0; p < spec.planes; ++p) sum += spec.scale[p][o] * static_cast<float>(code(spec, p, i));
  return sum;
}

uint32_t as_word(float value) noexcept {
  uint32_t word;
  std::memcpy(&word, &value, 4);
  return word;
}

// Adds weight (o, c) of a plane to its word; `words` is the plane's.
void put(const LinearSpec& spec, int plane, size_t o, size_t c, float factor, const PackedLinear& packed, uint32_t* words) noexcept {
  const size_t i = o * static_cast<size_t>(spec.c_in) + c;
  uint32_t* block = words + o / kLinearBlock * packed.block_words() + o % kLinearBlock;
  switch (packed.way) {
    case Way::kFloat:
      block[c * kLinearBlock] = as_word(dense_weight(spec, o, i) * factor);
      break;
    case Way::kBytes:
      block[c / 4 * kLinearBlock] |= static_cast<uint32_t>(code(spec, plane, i) & 0xff) << (8 * (c % 4));
      break;
    case Way::kPairs:
      block[c / 2 * kLinearBlock] |= static_cast<uint32_t>(code(spec, plane, i) & 0xffff) << (16 * (c % 2));
      break;
    case Way::kBits:
      block[c / 32 * kLinearBlock] |= static_cast<uint32_t>(code(spec, plane, i) < 0) << (c % 32);
      break;
  }
}

Status check_linear(const LinearSpec& spec, const char* name) noexcept {
  if (spec.planes < 1 || spec.planes > (spec.weight == LinearSpec::Weight::kSign ? kMaxSwinPlanes : 1)) {
    return failure(Code::kArgument, "%s: %d planes", name, spec.planes);
  }
  const size_t count = static_cast<size_t>(spec.c_in) * static_cast<size_t>(spec.c_out);
  for (int p = 0; p < spec.planes; ++p) {
    const bool there = spec.weight == LinearSpec::Weight::kFloat     ? spec.dense != nullptr
                       : spec.weight == LinearSpec::Weight::kUniform ? spec.codes != nullptr
                                                                     : spec.signs[p] != nullptr;
    if (!there) return failure(Code::kArgument, "%s: no weights", name);
    if (spec.weight != LinearSpec::Weight::kFloat && spec.scale[p] == nullptr) {
      return failure(Code::kArgument, "%s: no scale of the weights", name);
    }
    if (spec.weight == LinearSpec::Weight::kFloat) continue;
    const bool sign = spec.weight == LinearSpec::Weight::kSign;
    for (size_t i = 0; i < count; ++i) {
      const int q = code(spec, p, i);
      if (sign ? q != 1 && q != -1 : q < -255 || q > 255) return failure(Code::kArgument, "%s: weight code %d", name, q);
    }
  }
  return {};
}

}  // namespace

Status copy_act(const ActSpec& spec, int channels, const char* name, Act* out) {
  using Kind = ActSpec::Kind;
  const size_t count = static_cast<size_t>(channels);
  if (spec.kind == Kind::kUniform) {
    if (spec.lowest > spec.highest || spec.lowest < -128 || spec.highest > 255 || spec.highest - spec.lowest > 255) {
      return failure(Code::kArgument, "%s: codes %d..%d of the input", name, spec.lowest, spec.highest);
    }
    if (!(spec.step > 0) || !std::isfinite(1 / spec.step)) {
      return failure(Code::kArgument, "%s: step %g", name, static_cast<double>(spec.step));
    }
  }
  const bool scales = (spec.kind == Kind::kSign && spec.scaling == ActSpec::Scale::kChannels) || spec.kind == Kind::kElastic;
  if (scales && spec.scales == nullptr) return failure(Code::kArgument, "%s: no scales of the input", name);
  out->kind = spec.kind;
  out->scaling = spec.kind == Kind::kSign ? spec.scaling : ActSpec::Scale::kNumber;  // other kinds have no vector of scales
  out->lowest = static_cast<float>(spec.lowest);
  out->highest = static_cast<float>(spec.highest);
  out->step = spec.step;
  out->inv_step = 1 / spec.step;
  out->offset = spec.kind == Kind::kUniform ? spec.offset : 0;
  out->scale = spec.scale;
  out->zero = spec.kind == Kind::kSign ? 1 : spec.kind == Kind::kUniform ? std::max(0, -spec.lowest) : 0;
  out->shift.assign(count, 0.0f);
  for (size_t i = 0; spec.shift != nullptr && i < count; ++i) out->shift[i] = spec.shift[i] + 0.0f;  // no -0: x + shift is none
  if (scales) out->scales.assign(spec.scales, spec.scales + count);
  return {};
}

Status pack_linear(const LinearSpec& spec, Isa isa, const char* name, int factored, float factor, PackedLinear* out) {
  Status status = check_linear(spec, name);
  if (status.ok()) status = copy_act(spec.act, spec.c_in, name, &out->act);
  if (!status.ok()) return status;
  if (spec.act.kind == ActSpec::Kind::kElastic) return failure(Code::kArgument, "%s: elastic quantizers are of attention maps", name);
  out->way = choose_way(spec, isa);
  out->c_in = spec.c_in;
  out->c_out = spec.c_out;
  out->planes = out->way == Way::kFloat ? 1 : spec.planes;
  const int per_row = out->way == Way::kFloat ? 1 : out->way == Way::kPairs ? 2 : out->way == Way::kBytes ? 4 : 32;
  out->rows = (spec.c_in + per_row - 1) / per_row;
  const size_t padded = out->c_out_padded(), planes = static_cast<size_t>(out->planes), c_in = static_cast<size_t>(spec.c_in);
  const size_t plane_words = out->blocks() * out->block_words();
  out->weights.assign(planes * plane_words, 0);
  out->start.assign(planes * padded, 0);
  out->scale.assign(planes * padded, out->way == Way::kFloat ? 1.0f : 0.0f);
  out->bias.assign(padded, 0.0f);
  const Act& act = out->act;
  const double act_scale = act.kind == ActSpec::Kind::kUniform ? act.step : act.mean() ? 1.0f : act.scale;
  for (size_t o = 0; o < static_cast<size_t>(spec.c_out); ++o) {
    const float f = o < static_cast<size_t>(factored) ? factor : 1.0f;
    double bias = spec.bias != nullptr ? static_cast<double>(spec.bias[o]) * f : 0.0;
    for (size_t p = 0; p < planes; ++p) {
      int32_t sum = 0;
      for (size_t c = 0; c < c_in; ++c) {
        put(spec, static_cast<int>(p), o, c, f, *out, out->weights.data() + p * plane_words);
        if (out->way != Way::kFloat) sum += code(spec, static_cast<int>(p), o * c_in + c);
      }
      if (out->way == Way::kFloat) continue;
      const double scale = static_cast<double>(spec.scale[p][o]) * f;
      out->start[p * padded + o] = out->way == Way::kBits ? spec.c_in : -act.zero * sum;
      out->scale[p * padded + o] = static_cast<float>(scale * act_scale);
      bias += scale * static_cast<double>(act.offset) * sum;
    }
    out->bias[o] = static_cast<float>(bias);
  }
  return {};
}

}  // namespace qsr
