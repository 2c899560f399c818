#include "kernels/swin.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <new>

#include "kernels/swin_parts.h"

namespace qsr {
namespace {

constexpr double kLog2E = 1.4426950408889634;

Status check_extents(const SwinSpec& s) noexcept {
  if (s.window < 1 || s.window > kMaxSwinWindow) return failure(Code::kArgument, "window %d, allowed 1 to %d", s.window, kMaxSwinWindow);
  if (s.shift < 0 || s.shift >= s.window) return failure(Code::kArgument, "shift %d in a window of %d", s.shift, s.window);
  if (s.channels < 1 || s.channels > kMaxSwinChannels) {
    return failure(Code::kArgument, "%d channels, allowed 1 to %d", s.channels, kMaxSwinChannels);
  }
  if (s.heads < 1 || s.channels % s.heads != 0) return failure(Code::kArgument, "%d channels for %d heads", s.channels, s.heads);
  const int hidden = s.fc1.c_out;
  if (hidden < 1 || hidden > kMaxSwinChannels) {
    return failure(Code::kArgument, "%d hidden channels, allowed 1 to %d", hidden, kMaxSwinChannels);
  }
  const struct {
    const char* name;
    const LinearSpec& layer;
    int c_in, c_out;
  } layers[] = {{"qkv", s.qkv, s.channels, 3 * s.channels},
                {"proj", s.proj, s.channels, s.channels},
                {"fc1", s.fc1, s.channels, hidden},
                {"fc2", s.fc2, hidden, s.channels}};
  for (const auto& l : layers) {
    if (l.layer.c_in != l.c_in || l.layer.c_out != l.c_out) {
      return failure(Code::kArgument, "%s: %d to %d channels, expected %d to %d", l.name, l.layer.c_in, l.layer.c_out, l.c_in, l.c_out);
    }
  }
  if (!s.table || !s.norm1_weight || !s.norm1_bias || !s.norm2_weight || !s.norm2_bias) {
    return failure(Code::kArgument, "a table or a norm is missing");
  }
  return {};
}

Status copy_operands(const SwinSpec& s, SwinLayer::Parts* parts) {
  if (s.operands == nullptr) return {};
  const SwinOperands& o = *s.operands;
  const bool elastic = o.map.kind == ActSpec::Kind::kElastic;
  if (!elastic && o.map.kind != ActSpec::Kind::kUniform) return failure(Code::kArgument, "map: neither uniform nor elastic");
  for (const ActSpec* act : {&o.q, &o.k, &o.v}) {
    if (act->kind != ActSpec::Kind::kUniform && act->kind != ActSpec::Kind::kSign) {
      return failure(Code::kArgument, "q, k, v: neither uniform nor sign");
    }
  }
  parts->has_operands = true;
  Status status = copy_act(o.q, s.channels, "q", &parts->q);
  if (status.ok()) status = copy_act(o.k, s.channels, "k", &parts->k);
  if (status.ok()) status = copy_act(o.v, s.channels, "v", &parts->v);
  if (status.ok()) status = copy_act(o.map, elastic ? s.heads : 1, "map", &parts->map);
  return status;
}

// The table's row of each pair of tokens, keys first: queries run along the vectors.
void expand_table(const SwinSpec& s, SwinLayer::Parts* parts) {
  const int n = parts->tokens(), side = 2 * s.window - 1;
  const size_t keys = parts->keys(), padded = parts->padded(), heads = static_cast<size_t>(s.heads);
  parts->bias.assign(heads * keys * padded, 0.0f);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < n; ++i) {
      const int down = i / s.window - j / s.window + s.window - 1, right = i % s.window - j % s.window + s.window - 1;
      const float* row = s.table + static_cast<size_t>(down * side + right) * heads;
      for (size_t head = 0; head < heads; ++head) {
        const size_t at = (head * keys + static_cast<size_t>(j)) * padded + static_cast<size_t>(i);
        parts->bias[at] = static_cast<float>(kLog2E * static_cast<double>(row[head]));
      }
    }
  }
}

Status fill(const SwinSpec& s, Isa isa, SwinLayer::Parts* p) {
  p->channels = s.channels;
  p->window = s.window;
  p->shift = s.shift;
  p->heads = s.heads;
  p->hidden = s.fc1.c_out;
  p->eps = s.eps;
  p->gain1 = s.gain1;
  p->gain2 = s.gain2;
  p->proj_skip = s.proj_skip;
  p->norm1_weight.assign(s.norm1_weight, s.norm1_weight + s.channels);
  p->norm1_bias.assign(s.norm1_bias, s.norm1_bias + s.channels);
  p->norm2_weight.assign(s.norm2_weight, s.norm2_weight + s.channels);
  p->norm2_bias.assign(s.norm2_bias, s.norm2_bias + s.channels);
  const double q_scale = (s.operands == nullptr ? kLog2E : 1.0) / std::sqrt(static_cast<double>(s.channels / s.heads));
  Status status = copy_operands(s, p);
  if (status.ok()) status = pack_linear(s.qkv, isa, "qkv", s.channels, static_cast<float>(q_scale), &p->qkv);
  if (status.ok()) status = pack_linear(s.proj, isa, "proj", 0, 1.0f, &p->proj);
  if (status.ok()) status = pack_linear(s.fc1, isa, "fc1", 0, 1.0f, &p->fc1);
  if (status.ok()) status = pack_linear(s.fc2, isa, "fc2", 0, 1.0f, &p->fc2);
  if (status.ok()) expand_table(s, p);
  return status;
}

void name_it(Isa isa, SwinLayer::Parts* p) noexcept {
  const PackedLinear& l = p->qkv;
  const char* how = l.way == Way::kFloat ? "f32" : l.way == Way::kBits ? "b1b1" : l.way == Way::kBytes ? "u8s8" : "s16s16";
  std::snprintf(p->name, sizeof(p->name), "swin_%s_%s", how, isa_name(isa));
}

}  // namespace

const SwinCode& swin_code(Isa limit, Isa* isa) noexcept {
  *isa = std::min(limit, best_isa());
#if QSR_X86
  if (*isa == Isa::kAvx512) return swin_avx512;
  if (*isa == Isa::kAvx2) return swin_avx2;
#endif
  return swin_portable;
}

size_t SwinWork::carve(const SwinLayer::Parts& parts, uint8_t* base) noexcept {
  const size_t row = parts.padded() * sizeof(float);
  const size_t channels = static_cast<size_t>(parts.channels), hidden = static_cast<size_t>(parts.hidden);
  const size_t most = std::max(channels, hidden);
  size_t used = 0;
  const auto take = [&](size_t bytes) {
    uint8_t* start = base == nullptr ? nullptr : base + used;
    used += SwinLayer::Parts::round(bytes, 64);
    return reinterpret_cast<float*>(start);
  };
  x = take(channels * row);
  t = take(most * row);
  wide = take(SwinLayer::Parts::round(std::max(3 * channels, hidden), kLinearBlock) * row);
  coded = take(most * row);
  tile = take(kLinearBlock * row);
  mean = take(row);
  region = take(row);
  logits = take(parts.keys() * kQueryTile * sizeof(float));
  token = reinterpret_cast<float**>(take(parts.padded() * sizeof(float*)));
  return used;
}

Status SwinLayer::make(const SwinSpec& spec, Isa limit, std::unique_ptr<SwinLayer>* out) noexcept {
  Status status = check_extents(spec);
  if (!status.ok()) return status;
  Isa isa;
  const SwinCode& code = swin_code(limit, &isa);
  try {
    auto parts = std::make_unique<Parts>();
    status = fill(spec, isa, parts.get());
    if (!status.ok()) return status;
    parts->code = &code;
    name_it(isa, parts.get());
    out->reset(new SwinLayer(std::move(parts)));
  } catch (const std::bad_alloc&) {
    return failure(Code::kMemory, "no memory for a layer of %d channels", spec.channels);
  }
  return status;
}

SwinLayer::SwinLayer(std::unique_ptr<Parts> parts) noexcept : parts_(std::move(parts)) {}
SwinLayer::~SwinLayer() = default;

size_t SwinLayer::scratch_bytes() const noexcept { return SwinWork().carve(*parts_, nullptr); }
int SwinLayer::channels() const noexcept { return parts_->channels; }
int SwinLayer::window() const noexcept { return parts_->window; }
int SwinLayer::windows(int h, int w) const noexcept { return (h / parts_->window) * (w / parts_->window); }
const char* SwinLayer::kernel() const noexcept { return parts_->name; }

void SwinLayer::run(float* map, int h, int w, int first, int last, void* scratch) const noexcept {
  parts_->code->run(*parts_, map, h, w, first, last, scratch);
}

}  // namespace qsr
