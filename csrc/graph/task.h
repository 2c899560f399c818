// One band and tile of one segment: the steps of its schedule on one thread.
#pragma once

#include "graph/engine.h"

namespace qsr {

// A map's rows, seen from absolute rows and columns.
struct View {
  uint8_t* data = nullptr;  // of column `first_column`
  size_t row_bytes = 0, pixel = 0;
  int capacity = 1, first_column = 0;

  uint8_t* at(int y, int x) const noexcept {
    return data + static_cast<size_t>(y % capacity) * row_bytes + static_cast<size_t>(x - first_column) * pixel;
  }
};

// What all tasks of a run share.
struct Run {
  const Graph& graph;
  const Schedule& schedule;
  const Job& job;
  const PictureKernels& ends;
  EpilogueFunction epilogue;
  uint8_t* arena;
  const float* slots;

  // The whole map.
  View whole(int map) const noexcept;
};

size_t pixel_bytes(const MapSpec& map) noexcept;

// One thread's share of a run. views: one per map, arbitrary contents.
class Task {
 public:
  Task(const Run& run, size_t segment, uint8_t* scratch, View* views, StageTime* times) noexcept
      : run_(run), graph_(run.graph), segment_(graph_.segments[segment]), plan_(run.schedule.segments[segment]), scratch_(scratch), views_(views), times_(times) {}

  void run(int64_t number) noexcept;

 private:
  void place() noexcept;
  void fence(const Stage& stage) noexcept;
  void step(const Stage& stage, int s, int first) noexcept;
  void conv(const Stage& stage, Range grid, int first) noexcept;
  void store(const Stage& stage, const uint8_t* acc, int y, int x, int pixels) noexcept;
  void store_bordered(const Stage& stage, const uint8_t* acc, int y, int x, int pixels) noexcept;
  void emit(const Stage& stage, const Target& target, const Epilogue& epilogue, const uint8_t* acc, size_t stride, int y, int x, int pixels) noexcept;
  void take_off(const Stage& stage, int32_t* acc, int y, int x, int pixels) noexcept;
  void finish(const Stage& stage, int map) noexcept;
  void pad(const View& view, int map, int y, Range columns, bool own) noexcept;

  void picture(const Stage& stage, int y) noexcept;
  void map(const Stage& stage, int y) noexcept;
  void bilinear(const Stage& stage, int s, int y) noexcept;
  void spatial(const Stage& stage, int y) noexcept;
  void end(const Stage& stage, int y) noexcept;

  size_t local(int stage) const noexcept { return static_cast<size_t>(stage - segment_.first); }
  const View& view(int map) const noexcept { return views_[map]; }
  float* floats(int map, int y, int x) const noexcept { return reinterpret_cast<float*>(views_[map].at(y, x)); }
  const MapSpec& spec(int map) const noexcept { return graph_.maps[static_cast<size_t>(map)]; }

  const Run& run_;
  const Graph& graph_;
  const Segment& segment_;
  const SegmentPlan& plan_;
  uint8_t* scratch_;
  View* views_;
  StageTime* times_;
  const Band* band_ = nullptr;
  const Tile* tile_ = nullptr;
  Range columns_, rows_;  // of the step's stage that are asked for, on its grid; rows of this step
  double sums_ = 0;
};

// Rows of stages without weights; `in`, `out` point at the first of `pixels` pixels.
void quantize_row(const Stage& stage, float factor, const float* in, int pixels, float* out) noexcept;
void norm_row(const Stage& stage, const float* in, int pixels, float* out) noexcept;
// in: `channels` per pixel; out: `times` as many.
void repeat_row(const float* in, size_t channels, int times, int pixels, float* out) noexcept;
// out: `channels` per pixel; in: `parts` as many.
void average_row(const float* in, size_t channels, int parts, int pixels, float* out) noexcept;
void channel_mean_row(const float* in, int channels, int pixels, float* out) noexcept;
double absolute_sum(const float* in, size_t count) noexcept;

}  // namespace qsr
