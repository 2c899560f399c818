// A stage ready to run: kernel chosen, weights packed, vectors aligned, and what it asks of its inputs' rows and columns.
#pragma once

#include <vector>

#include "graph/memory.h"
#include "graph/spec.h"
#include "kernels/epilogue.h"
#include "kernels/picture.h"

namespace qsr {

// Positions first..end - 1 along one axis.
struct Range {
  int first = 0, end = 0;
  bool empty() const noexcept { return first >= end; }
};

// How positions of a stage's grid (its own rows or columns, before `up`) ask for positions of an input.
struct Operand {
  enum class Kind : uint8_t { kReach, kUp, kBilinear };
  int map = -1;
  Kind kind = Kind::kReach;
  int reach_y = 0, reach_x = 0, up = 1;

  // What grid positions `at` need, not yet clipped to the map.
  Range needs(Range at, bool rows) const noexcept {
    if (kind == Kind::kUp) return {at.first * up, at.end * up};
    if (kind == Kind::kBilinear) return {floor_div(2 * at.first + 1 - up, 2 * up), floor_div(2 * at.end - 1 - up, 2 * up) + 2};
    const int reach = rows ? reach_y : reach_x;
    return {at.first - reach, at.end + reach};
  }
  static int floor_div(int a, int b) noexcept { return a >= 0 ? a / b : -((-a + b - 1) / b); }
};

// One epilogue per row of output and pixel: a convolution with `up` writes up * up places, neighbours in one go where they lie
// side by side.
struct Target {
  Epilogue epilogue;
  int dy = 0, dx = 0;
  size_t first = 0;  // output channel
};

struct Stage {
  StageSpec spec;  // weights are dropped once packed
  int grid_factor = 1;    // its grid is (factor h, factor w)
  int up = 1;             // rows and columns of what it makes, per row and column of its grid
  int channels = 0;       // of what it makes
  int tile_rows = 1;      // grid rows made at a time
  int align_rows = 1, align_columns = 1;  // see stage.cc
  std::vector<Operand> operands;

  // kConv
  const RowKernel* kernel = nullptr;
  int chunk = 0, unit = 16;  // pixels per call of the kernel, at most, and what they are a multiple of
  size_t kernel_scratch = 0;  // bytes of one call, of any number of pixels up to `chunk`
  Buffer packed, taps, padding, vectors;
  std::vector<Target> targets;

  // kPicture
  ByteValues values;

  size_t acc_bytes() const noexcept;
  size_t scratch_bytes() const noexcept;  // of kernel, sums and run-time vectors together
};

// Takes the spec over. kFormat where no kernel accepts, kMemory without memory.
Status make_stage(StageSpec&& spec, const std::vector<MapSpec>& maps, Isa limit, Stage* out);

}  // namespace qsr
