#include "graph/task.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/poison.h"

namespace qsr {
namespace {

double now() noexcept { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Which taps of an axis lie outside, for position `at` of `size`: taps before `first` and from `end` on.
Range inside_taps(int at, int size, int taps) noexcept {
  return {std::max(0, taps / 2 - at), std::min(taps, size - at + taps / 2)};
}

}  // namespace

size_t pixel_bytes(const MapSpec& map) noexcept {
  const size_t c = static_cast<size_t>(map.channels);
  return map.format == Input::kBits ? round_up(c, 32) / 8 : map.format == Input::kBytes ? round_up(c, 32) : 4 * c;
}

View Run::whole(int map) const noexcept {
  const Rows& place = schedule.whole[static_cast<size_t>(map)];
  View made;
  made.data = arena + place.offset;
  made.row_bytes = place.row_bytes;
  made.pixel = pixel_bytes(graph.maps[static_cast<size_t>(map)]);
  made.capacity = place.capacity;
  made.first_column = -graph.uses[static_cast<size_t>(map)].pad_left;
  return made;
}

void Task::run(int64_t number) noexcept {
  const size_t tiles = plan_.tiles.size();
  band_ = &plan_.bands[static_cast<size_t>(number) / tiles];
  tile_ = &plan_.tiles[static_cast<size_t>(number) % tiles];
  place();
  for (const Step& at : band_->steps) {
    const Stage& stage = graph_.stages[static_cast<size_t>(at.stage)];
    if (!times_) {
      step(stage, at.stage, at.row);
      continue;
    }
    const double start = now();
    sums_ = 0;
    step(stage, at.stage, at.row);
    StageTime& time = times_[at.stage];
    ++time.steps;
    time.sums += sums_;
    time.total += now() - start;
  }
}

// Where the rows of every map are that this segment touches. Of the scratch, only line buffers may be touched from here on.
void Task::place() noexcept {
  poison(scratch_, run_.schedule.scratch_bytes);
  const auto locate = [&](int map) {
    const MapUse& use = graph_.uses[static_cast<size_t>(map)];
    const Rows& ring = plan_.rings[static_cast<size_t>(map)];
    if (ring.capacity == 0) {
      views_[map] = run_.whole(map);
      return;
    }
    unpoison(scratch_ + ring.offset, ring.row_bytes * static_cast<size_t>(ring.capacity));
    const int up = graph_.stages[static_cast<size_t>(use.maker)].up;
    views_[map] = {scratch_ + ring.offset, ring.row_bytes, pixel_bytes(spec(map)), ring.capacity,
                   tile_->grid[local(use.maker)].first * up - use.pad_left};
  };
  for (int s = segment_.first; s < segment_.end; ++s) {
    const Stage& stage = graph_.stages[static_cast<size_t>(s)];
    for (const Operand& operand : stage.operands) locate(operand.map);
    if (stage.spec.out >= 0) locate(stage.spec.out);
    for (const SinkSpec& sink : stage.spec.sinks) locate(sink.map);
  }
}

// Under AddressSanitizer: the part of the scratch before the line buffers is open to what this stage keeps there.
void Task::fence(const Stage& stage) noexcept {
  if (kRedZone == 0) return;
  if (stage.spec.kind != Kind::kConv) {
    unpoison(scratch_, plan_.work_bytes - kRedZone);  // one row of kBilinear
    return;
  }
  poison(scratch_, plan_.work_bytes);
  const size_t acc = stage.acc_bytes(), vectors = acc + stage.kernel_scratch;
  unpoison(scratch_, acc - kRedZone);
  unpoison(scratch_ + acc, stage.kernel_scratch - kRedZone);
  unpoison(scratch_ + vectors, stage.scratch_bytes() - vectors);
}

void Task::step(const Stage& stage, int s, int first) noexcept {
  fence(stage);
  const Range asked = band_->asked[local(s)];
  rows_ = {std::max(first, asked.first), std::min(first + stage.tile_rows, asked.end)};
  columns_ = tile_->asked[local(s)];
  if (rows_.empty() || columns_.empty()) return;
  const int pixels = columns_.end - columns_.first, x = columns_.first;
  const int in = stage.spec.input, out = stage.spec.out;
  switch (stage.spec.kind) {
    case Kind::kConv:
      conv(stage, tile_->grid[local(s)], first);
      break;
    case Kind::kPicture:
      picture(stage, first);
      break;
    case Kind::kMap:
      emit(stage, stage.targets[0], stage.targets[0].epilogue, view(in).at(first, x), static_cast<size_t>(spec(in).channels), first, x, pixels);
      break;
    case Kind::kQuantize:
      quantize_row(stage, stage.spec.slot >= 0 ? run_.slots[stage.spec.slot] : 1.0f, floats(in, first, x), pixels, floats(out, first, x));
      break;
    case Kind::kNorm:
      norm_row(stage, floats(in, first, x), pixels, floats(out, first, x));
      break;
    case Kind::kShuffle: {
      const size_t up = static_cast<size_t>(stage.up), c = static_cast<size_t>(stage.channels);
      const float* from = floats(in, first, x);
      for (size_t dy = 0; dy < up; ++dy) {
        float* to = floats(out, first * stage.up + static_cast<int>(dy), x * stage.up);
        for (size_t i = 0; i < static_cast<size_t>(pixels); ++i) {
          for (size_t dx = 0; dx < up; ++dx) {
            for (size_t k = 0; k < c; ++k) to[(i * up + dx) * c + k] = from[i * c * up * up + (k * up + dy) * up + dx];
          }
        }
      }
      break;
    }
    case Kind::kRepeat:
      repeat_row(floats(in, first, x), static_cast<size_t>(spec(in).channels), stage.spec.up, pixels, floats(out, first, x));
      break;
    case Kind::kAverage:
      average_row(floats(in, first, x), static_cast<size_t>(stage.channels), stage.spec.up, pixels, floats(out, first, x));
      break;
    case Kind::kBilinear:
      bilinear(stage, s, first);
      break;
    case Kind::kChannelMean:
      channel_mean_row(floats(in, first, x), spec(in).channels, pixels, floats(out, first, x));
      break;
    case Kind::kSpatial:
      spatial(stage, first);
      break;
    case Kind::kStore:
      this->end(stage, first);
      return;
    case Kind::kMean:
    case Kind::kSwin:
      return;  // engine.cc
  }
  if (out >= 0) finish(stage, out);
  for (const SinkSpec& sink : stage.spec.sinks) finish(stage, sink.map);
}

// Padding beside the rows just made; and where the task made more than its own part, its own part goes to the whole map.
void Task::finish(const Stage& stage, int map) noexcept {
  const int first = rows_.first * stage.up, end = rows_.end * stage.up;
  const View& rows = view(map);
  const Range columns{columns_.first * stage.up, columns_.end * stage.up};
  const bool ring = plan_.rings[static_cast<size_t>(map)].capacity > 0;
  for (int y = first; y < end; ++y) pad(rows, map, y, columns, ring);
  if (!ring || !graph_.uses[static_cast<size_t>(map)].outside) return;
  const View whole = run_.whole(map);
  const int factor = spec(map).factor;
  const Range own{tile_->columns.first * factor, tile_->columns.end * factor};
  for (int y = std::max(first, band_->rows.first * factor); y < std::min(end, band_->rows.end * factor); ++y) {
    std::memcpy(whole.at(y, own.first), rows.at(y, own.first), static_cast<size_t>(own.end - own.first) * rows.pixel);
    pad(whole, map, y, own, false);
  }
}

// own: nothing else lies behind the row, as it does in a map that tiles of columns share.
void Task::pad(const View& rows, int map, int y, Range columns, bool own) noexcept {
  const MapUse& use = graph_.uses[static_cast<size_t>(map)];
  const MapSpec& made = spec(map);
  const int byte = made.format == Input::kBytes ? made.zero : 0;
  if (use.pad_left > 0 && columns.first == 0) std::memset(rows.at(y, -use.pad_left), byte, static_cast<size_t>(use.pad_left) * rows.pixel);
  if (use.pad_right > 0 && (own || columns.end == made.factor * run_.schedule.width)) {
    std::memset(rows.at(y, columns.end), byte, static_cast<size_t>(use.pad_right) * rows.pixel);
  }
}

// grid: the columns to go through; no others than those asked for are written.
void Task::conv(const Stage& stage, Range grid, int first) noexcept {
  const RowConv& conv = stage.spec.conv;
  const View& in = view(stage.spec.input);
  const int maker = graph_.uses[static_cast<size_t>(stage.spec.input)].maker;
  // rows that the band does not have are rows that it does not need: groups of integer kernels may go on behind its end
  const bool here = maker >= segment_.first && maker < segment_.end;
  const int available = here ? band_->asked[local(maker)].end * graph_.stages[static_cast<size_t>(maker)].up : stage.grid_factor * run_.schedule.height;
  const size_t stride = stage.kernel->acc_stride(conv);
  uint8_t* acc = scratch_;
  uint8_t* work = scratch_ + stage.acc_bytes();
  const uint8_t* rows[15 + kMaxTileRows];
  const int width = grid.end - grid.first, calls = (width + stage.chunk - 1) / stage.chunk;
  const int share = static_cast<int>(round_up(static_cast<size_t>((width + calls - 1) / std::max(calls, 1)), static_cast<size_t>(stage.unit)));  // all about as wide
  for (int x = grid.first; x < grid.end; x += share) {
    const int pixels = std::min(share, grid.end - x);
    const Range asked{std::max(x, columns_.first), std::min(x + pixels, columns_.end)};
    if (asked.empty()) continue;
    for (int r = 0; r < conv.kh - 1 + stage.tile_rows; ++r) {
      const int y = first - conv.kh / 2 + r;
      rows[r] = y < 0 || y >= available ? stage.padding.bytes() : in.at(y, x - conv.kw / 2);
    }
    if (times_) {
      const double start = now();
      stage.kernel->run(conv, stage.packed.bytes(), rows, pixels, acc, work);
      sums_ += now() - start;
    } else {
      stage.kernel->run(conv, stage.packed.bytes(), rows, pixels, acc, work);
    }
    const size_t sum_row = round_up(static_cast<size_t>(pixels), 16) * stride;
    const int count = asked.end - asked.first;
    for (int y = rows_.first; y < rows_.end; ++y) {
      uint8_t* sums = acc + 4 * (sum_row * static_cast<size_t>(y - first) + stride * static_cast<size_t>(asked.first - x));
      if (conv.input == Input::kBits) take_off(stage, reinterpret_cast<int32_t*>(sums), y, asked.first, count);
      stage.spec.edge.empty() && stage.spec.slot < 0 ? store(stage, sums, y, asked.first, count) : store_bordered(stage, sums, y, asked.first, count);
    }
  }
}

// What padded taps of bits added.
void Task::take_off(const Stage& stage, int32_t* acc, int y, int x, int pixels) noexcept {
  const RowConv& conv = stage.spec.conv;
  const int height = stage.grid_factor * run_.schedule.height, width = stage.grid_factor * run_.schedule.width;
  const Range v = inside_taps(y, height, conv.kh);
  const bool whole_rows = v.first == 0 && v.end == conv.kh;
  const size_t padded = conv.c_out_padded();
  const int32_t* taps = reinterpret_cast<const int32_t*>(stage.taps.bytes());
  for (int i = 0; i < pixels; ++i) {
    const Range h = inside_taps(x + i, width, conv.kw);
    if (whole_rows && h.first == 0 && h.end == conv.kw) {  // nothing here; on to the right border
      i = std::max(i, std::min(pixels, width - conv.kw / 2 - x) - 1);
      continue;
    }
    int32_t* sums = acc + static_cast<size_t>(i) * padded;
    for (int ky = 0; ky < conv.kh; ++ky) {
      for (int kx = 0; kx < conv.kw; ++kx) {
        if (ky >= v.first && ky < v.end && kx >= h.first && kx < h.end) continue;
        const int32_t* tap = taps + static_cast<size_t>(ky * conv.kw + kx) * padded;
        for (size_t o = 0; o < padded; ++o) sums[o] -= tap[o];
      }
    }
  }
}

void Task::emit(const Stage& stage, const Target& target, const Epilogue& epilogue, const uint8_t* acc, size_t stride, int y, int x, int pixels) noexcept {
  const StageSpec& spec = stage.spec;
  const int row = y * stage.up + target.dy, column = x * stage.up + target.dx;
  const size_t up = static_cast<size_t>(stage.up), floats_apart = up * static_cast<size_t>(stage.channels);
  EpilogueCall call;
  call.acc = acc + 4 * target.first;
  call.acc_stride = stride;
  call.plane_stride = static_cast<size_t>(stage.channels) * up * up;
  call.pixels = pixels;
  if (spec.second >= 0) {
    call.residual = floats(spec.second, row, column);
    call.residual_stride = floats_apart;
  }
  if (spec.out >= 0) {
    call.out = floats(spec.out, row, column);
    call.out_stride = floats_apart;
  }
  for (size_t i = 0; i < spec.sinks.size(); ++i) {
    const View& codes = view(spec.sinks[i].map);
    call.codes[i] = codes.at(row, column);
    call.codes_stride[i] = up * codes.pixel;
  }
  run_.epilogue(epilogue, call);
}

void Task::store(const Stage& stage, const uint8_t* acc, int y, int x, int pixels) noexcept {
  for (const Target& target : stage.targets) emit(stage, target, target.epilogue, acc, stage.kernel->acc_stride(stage.spec.conv), y, x, pixels);
}

// With numbers that only the run knows: a factor of the sums (slot), and a bias that is another one at the border (edge).
void Task::store_bordered(const Stage& stage, const uint8_t* acc, int y, int x, int pixels) noexcept {
  const StageSpec& spec = stage.spec;
  const RowConv& conv = spec.conv;
  const int height = stage.grid_factor * run_.schedule.height, width = stage.grid_factor * run_.schedule.width;
  const size_t outputs = static_cast<size_t>(conv.c_out / spec.planes), stride = stage.kernel->acc_stride(conv);
  float* room = reinterpret_cast<float*>(scratch_ + stage.acc_bytes() + stage.kernel_scratch);
  const Range v = inside_taps(y, height, conv.kh);
  for (int i = 0; i < pixels;) {
    const Range h = inside_taps(x + i, width, conv.kw);
    int same = i + 1;
    if (spec.edge.empty()) same = pixels;
    while (same < pixels) {
      const Range next = inside_taps(x + same, width, conv.kw);
      if (next.first != h.first || next.end != h.end) break;
      ++same;
    }
    for (const Target& target : stage.targets) {
      Epilogue e = target.epilogue;
      e.threshold = nullptr;
      const size_t channels = static_cast<size_t>(e.channels), lanes = round_up(channels, 16), planes = static_cast<size_t>(spec.planes);
      if (spec.slot >= 0) {
        for (size_t o = 0; o < planes * lanes; ++o) room[o] = target.epilogue.scale[o] * run_.slots[spec.slot];
        e.scale = room;
      }
      if (!spec.edge.empty()) {
        float* bias = room + planes * lanes;
        for (size_t o = 0; o < lanes; ++o) bias[o] = e.bias ? e.bias[o] : 0.0f;
        for (int ky = 0; ky < conv.kh; ++ky) {
          for (int kx = 0; kx < conv.kw; ++kx) {
            if (ky >= v.first && ky < v.end && kx >= h.first && kx < h.end) continue;
            const float* off = spec.edge.data() + static_cast<size_t>(ky * conv.kw + kx) * outputs + target.first;
            for (size_t o = 0; o < channels; ++o) bias[o] -= off[o];
          }
        }
        e.bias = bias;
      }
      emit(stage, target, e, acc + 4 * stride * static_cast<size_t>(i), stride, y, x + i, same - i);
    }
    i = same;
  }
}

}  // namespace qsr
