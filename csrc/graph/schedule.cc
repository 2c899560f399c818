#include "graph/schedule.h"

#include <algorithm>
#include <new>

#include "base/checked.h"
#include "base/poison.h"

namespace qsr {
namespace {

// Pixels behind a row's end that hold padding too: the last group of columns of a Winograd kernel mixes them in and cancels
// them again, exactly only for values that may occur.
constexpr int kBehind = 7;
// Of a tile, in pixels of the picture and of the largest map: narrower ones make too many columns twice.
constexpr int kFewestColumns = 32, kFewestEnlarged = 128;
constexpr int64_t kMostBytes = int64_t{1} << 46;

int up_to(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// What the stages of a segment make along one axis, if the segment's maps are asked for `part` of the picture.
class Asking {
 public:
  Asking(const Graph& graph, const Segment& segment, int size, bool rows) : graph_(graph), segment_(segment), size_(size), rows_(rows) {}

  // exact: those asked for, on each stage's grid; the result is rounded to groups of rows or columns that go together.
  std::vector<Range> ranges(Range part, std::vector<Range>* exact) const {
    std::vector<Range> made(static_cast<size_t>(segment_.end - segment_.first));
    exact->assign(made.size(), {});
    for (int s = segment_.end - 1; s >= segment_.first; --s) {
      const Stage& stage = graph_.stages[static_cast<size_t>(s)];
      Range asked{INT32_MAX, INT32_MIN};
      const auto include = [&](Range more) {
        asked.first = std::min(asked.first, more.first);
        asked.end = std::max(asked.end, more.end);
      };
      const int factor = stage.grid_factor * stage.up, total = factor * size_;
      if (stage.spec.kind == Kind::kStore) include({part.first * factor, part.end * factor});
      each_output(stage, [&](int map) {
        const MapUse& use = graph_.uses[static_cast<size_t>(map)];
        if (use.outside) include({part.first * factor, part.end * factor});
        for (int reader : use.readers) {
          if (reader < segment_.first || reader >= segment_.end) continue;
          for (const Operand& operand : graph_.stages[static_cast<size_t>(reader)].operands) {
            if (operand.map == map) include(operand.needs(made[static_cast<size_t>(reader - segment_.first)], rows_));
          }
        }
      });
      Range& grid = made[static_cast<size_t>(s - segment_.first)];
      if (asked.first > asked.end) continue;  // nobody asks: nothing is made
      asked = {std::max(asked.first, 0), std::min(asked.end, total)};
      const int align = rows_ ? stage.align_rows : stage.align_columns;
      Range& wanted = (*exact)[static_cast<size_t>(s - segment_.first)];
      wanted = {asked.first / stage.up, up_to(asked.end, stage.up) / stage.up};
      grid = {wanted.first / align * align, std::min(up_to(wanted.end, align), stage.grid_factor * size_)};
    }
    return made;
  }

  template <typename Function>
  static void each_output(const Stage& stage, const Function& function) {
    if (stage.spec.out >= 0) function(stage.spec.out);
    for (const SinkSpec& sink : stage.spec.sinks) function(sink.map);
  }

 private:
  const Graph& graph_;
  const Segment& segment_;
  int size_;
  bool rows_;
};

// Goes through the steps of one band: writes them down and finds the capacity of each line buffer.
class Roller {
 public:
  Roller(const Graph& graph, const Segment& segment, int height, Band* band, std::vector<Rows>* rings)
      : graph_(graph), segment_(segment), height_(height), band_(*band), rings_(*rings) {
    for (const Range& range : band_.grid) next_.push_back(range.first);
  }

  void roll() {
    for (int y = band_.rows.first; y < band_.rows.end; ++y) {
      for (int s = segment_.first; s < segment_.end; ++s) {
        const Stage& stage = graph_.stages[static_cast<size_t>(s)];
        bool wanted = stage.spec.kind == Kind::kStore;
        Asking::each_output(stage, [&](int map) { wanted = wanted || graph_.uses[static_cast<size_t>(map)].outside; });
        if (wanted) ensure(s, (y + 1) * stage.grid_factor * stage.up - 1);
      }
    }
  }

 private:
  size_t local(int stage) const { return static_cast<size_t>(stage - segment_.first); }
  bool here(int stage) const { return stage >= segment_.first && stage < segment_.end; }

  // Row `row` of what stage s makes exists afterwards, if the band needs it at all.
  void ensure(int s, int row) {
    const Stage& stage = graph_.stages[static_cast<size_t>(s)];
    const int end = band_.grid[local(s)].end;
    while (next_[local(s)] < end && next_[local(s)] * stage.up <= row) {
      const int first = next_[local(s)], after = std::min(first + stage.tile_rows, end);
      for (const Operand& operand : stage.operands) {
        const MapUse& use = graph_.uses[static_cast<size_t>(operand.map)];
        if (!here(use.maker)) continue;
        const int size = graph_.maps[static_cast<size_t>(operand.map)].factor * height_;
        ensure(use.maker, std::min(operand.needs({first, after}, true).end, size) - 1);
      }
      band_.steps.push_back({s, first});
      hold(stage, after * stage.up);
      next_[local(s)] = after;
    }
  }

  // Rows before `newest` of what `stage` makes are about to be there: room for all that is still to be read.
  void hold(const Stage& stage, int newest) {
    Asking::each_output(stage, [&](int map) {
      int oldest = newest - stage.tile_rows * stage.up;
      for (int reader : graph_.uses[static_cast<size_t>(map)].readers) {
        if (!here(reader) || next_[local(reader)] >= band_.grid[local(reader)].end) continue;
        const int row = next_[local(reader)];
        for (const Operand& operand : graph_.stages[static_cast<size_t>(reader)].operands) {
          if (operand.map == map) oldest = std::min(oldest, std::max(operand.needs({row, row + 1}, true).first, 0));
        }
      }
      int& capacity = rings_[static_cast<size_t>(map)].capacity;
      capacity = std::max(capacity, newest - oldest);
    });
  }

  const Graph& graph_;
  const Segment& segment_;
  int height_;
  Band& band_;
  std::vector<Rows>& rings_;
  std::vector<int> next_;
};

std::vector<Range> cut(int size, int parts, int multiple) {
  std::vector<Range> made;
  const int units = (size + multiple - 1) / multiple;
  parts = std::clamp(parts, 1, units);
  for (int i = 0; i < parts; ++i) {
    const int first = static_cast<int>(int64_t{units} * i / parts) * multiple, end = static_cast<int>(int64_t{units} * (i + 1) / parts) * multiple;
    made.push_back({first, std::min(end, size)});
  }
  return made;
}

class Scheduler {
 public:
  Scheduler(const Graph& graph, Schedule* out) : graph_(graph), out_(*out) {}

  Status run() {
    if (Status status = place_whole(); !status.ok()) return status;
    out_.row_taps.resize(graph_.stages.size());
    out_.column_taps.resize(graph_.stages.size());
    for (size_t s = 0; s < graph_.stages.size(); ++s) {
      const Stage& stage = graph_.stages[s];
      if (stage.spec.kind != Kind::kBilinear) continue;
      const int factor = stage.spec.up, size = stage.grid_factor / factor;
      out_.row_taps[s].resize(static_cast<size_t>(stage.grid_factor * out_.height));
      out_.column_taps[s].resize(static_cast<size_t>(stage.grid_factor * out_.width));
      bilinear_taps(size * out_.height, factor, out_.row_taps[s].data());
      bilinear_taps(size * out_.width, factor, out_.column_taps[s].data());
    }
    for (const Segment& segment : graph_.segments) {
      SegmentPlan plan;
      if (segment.whole) {
        plan_whole(segment, &plan);
      } else {
        plan_rows(segment, &plan);
        int tiles = 1, factor = 1;
        for (int s = segment.first; s < segment.end; ++s) factor = std::max(factor, graph_.stages[static_cast<size_t>(s)].grid_factor);
        const int fewest = std::max(kFewestColumns, kFewestEnlarged / factor);
        do plan_columns(segment, tiles, &plan);
        while (plan.scratch_bytes > graph_.l2_bytes * 3 / 4 && out_.width / ++tiles >= fewest);
      }
      out_.scratch_bytes = std::max(out_.scratch_bytes, plan.scratch_bytes);
      out_.segments.push_back(std::move(plan));
    }
    return {};
  }

 private:
  static size_t row_bytes(const MapSpec& map, int pixels) {
    const size_t c = static_cast<size_t>(map.channels);
    const size_t pixel = map.format == Input::kBits ? round_up(c, 32) / 8 : map.format == Input::kBytes ? round_up(c, 32) : 4 * c;
    return round_up(pixel * static_cast<size_t>(pixels + kSlackPixels) + 64, 64);
  }

  // Whole maps in the arena: each where it overlaps none that lives at the same time.
  Status place_whole() {
    out_.whole.resize(graph_.maps.size());
    std::vector<int> placed;
    size_t total = 0;
    for (size_t m = 0; m < graph_.maps.size(); ++m) {
      const MapUse& use = graph_.uses[m];
      if (!use.outside) continue;
      const MapSpec& map = graph_.maps[m];
      const int64_t rows = int64_t{map.factor} * out_.height, columns = int64_t{map.factor} * out_.width;
      int64_t bytes = 0;
      if (rows > INT32_MAX / 8 || columns > INT32_MAX / 8 || !checked_product({rows, columns + 64, map.channels, 4}, &bytes) || bytes > kMostBytes) {
        return failure(Code::kMemory, "a picture of %dx%d needs more memory than there can be; cut it into tiles", out_.width, out_.height);
      }
      Rows& place = out_.whole[m];
      place.capacity = static_cast<int>(rows);
      place.row_bytes = use.dense ? 4 * static_cast<size_t>(columns * map.channels) : row_bytes(map, static_cast<int>(columns) + use.pad_left + use.pad_right);
      const size_t size = round_up(place.row_bytes * static_cast<size_t>(rows) + kBehindMap, 64) + kRedZone;
      if (use.replaces >= 0) continue;  // below
      size_t at = 0;
      for (bool moved = true; moved;) {
        moved = false;
        for (int other : placed) {
          const MapUse& its = graph_.uses[static_cast<size_t>(other)];
          const Rows& there = out_.whole[static_cast<size_t>(other)];
          const size_t end = round_up(there.offset + there.row_bytes * static_cast<size_t>(there.capacity) + kBehindMap, 64) + kRedZone;
          if (its.last_segment < use.first_segment || use.last_segment < its.first_segment || end <= at || there.offset >= at + size) continue;
          at = end;
          moved = true;
        }
      }
      place.offset = at;
      placed.push_back(static_cast<int>(m));
      total = std::max(total, at + size);
    }
    for (size_t m = 0; m < graph_.maps.size(); ++m) {
      size_t first = m;
      while (graph_.uses[first].replaces >= 0) first = static_cast<size_t>(graph_.uses[first].replaces);
      if (graph_.uses[m].outside) out_.whole[m].offset = out_.whole[first].offset;
    }
    out_.arena_bytes = total;
    return {};
  }

  void plan_whole(const Segment& segment, SegmentPlan* plan) {
    const Stage& stage = graph_.stages[static_cast<size_t>(segment.first)];
    if (stage.spec.swin) plan->work_bytes = round_up(stage.spec.swin->scratch_bytes(), 64) + kRedZone;
    plan->scratch_bytes = plan->work_bytes;
    if (stage.spec.kind == Kind::kMean) out_.line_bytes = std::max(out_.line_bytes, round_up(8 * static_cast<size_t>(stage.grid_factor * out_.height), 64) + kRedZone);
  }

  void plan_rows(const Segment& segment, SegmentPlan* plan) {
    const Asking asking(graph_, segment, out_.height, true);
    plan->rings.assign(graph_.maps.size(), {});
    for (Range rows : cut(out_.height, out_.threads, 1)) {
      Band band;
      band.rows = rows;
      band.grid = asking.ranges(rows, &band.asked);
      Roller(graph_, segment, out_.height, &band, &plan->rings).roll();
      plan->bands.push_back(std::move(band));
    }
    for (size_t m = 0; m < plan->rings.size(); ++m) {
      if (!needs_ring(segment, m)) plan->rings[m].capacity = 0;
    }
  }

  bool needs_ring(const Segment& segment, size_t map) const {
    const int maker = graph_.uses[map].maker;
    if (maker < segment.first || maker >= segment.end) return false;
    bool inside = false;  // of any map of its maker: then the maker makes more rows than the task's own
    Asking::each_output(graph_.stages[static_cast<size_t>(maker)], [&](int m) { inside = inside || graph_.uses[static_cast<size_t>(m)].inside; });
    return inside;
  }

  void plan_columns(const Segment& segment, int tiles, SegmentPlan* plan) {
    const Asking asking(graph_, segment, out_.width, false);
    plan->tiles.clear();
    size_t work = 0;
    for (int s = segment.first; s < segment.end; ++s) {
      const Stage& stage = graph_.stages[static_cast<size_t>(s)];
      work = std::max(work, stage.scratch_bytes());
      if (stage.spec.kind == Kind::kBilinear) {  // one row of its input and one of what it makes
        const MapSpec& map = graph_.maps[static_cast<size_t>(stage.spec.input)];
        work = std::max(work, 4 * static_cast<size_t>(map.channels) * static_cast<size_t>(map.factor * out_.width * (1 + stage.spec.up) + 32));
      }
    }
    std::vector<int> widest(graph_.maps.size(), 0);
    for (Range columns : cut(out_.width, tiles, tiles == 1 ? 1 : 16)) {
      Tile tile;
      tile.columns = columns;
      tile.grid = asking.ranges(columns, &tile.asked);
      for (int s = segment.first; s < segment.end; ++s) {
        const Stage& stage = graph_.stages[static_cast<size_t>(s)];
        const Range grid = tile.grid[static_cast<size_t>(s - segment.first)];
        Asking::each_output(stage, [&](int map) {
          widest[static_cast<size_t>(map)] = std::max(widest[static_cast<size_t>(map)], (grid.end - grid.first) * stage.up);
        });
      }
      plan->tiles.push_back(std::move(tile));
    }
    plan->work_bytes = round_up(work, 64) + kRedZone;
    size_t at = plan->work_bytes;
    for (size_t m = 0; m < plan->rings.size(); ++m) {
      Rows& ring = plan->rings[m];
      if (ring.capacity == 0) continue;
      const MapUse& use = graph_.uses[m];
      ring.offset = at;
      ring.row_bytes = row_bytes(graph_.maps[m], widest[m] + use.pad_left + use.pad_right);
      at += ring.row_bytes * static_cast<size_t>(ring.capacity) + kRedZone;
    }
    plan->scratch_bytes = round_up(at + 64, 64);
  }

  const Graph& graph_;
  Schedule& out_;
};

}  // namespace

namespace {

// Sums that may be written where the residual was: both are whole maps, nobody reads the residual later or beside the stage
// that adds to it, and that stage makes no rows but the task's own.
void find_replaced(Graph* graph) {
  for (const Stage& stage : graph->stages) {
    if (stage.spec.second < 0 || stage.spec.out < 0 || (stage.spec.kind != Kind::kConv && stage.spec.kind != Kind::kMap)) continue;
    MapUse& from = graph->uses[static_cast<size_t>(stage.spec.second)];
    MapUse& to = graph->uses[static_cast<size_t>(stage.spec.out)];
    bool good = from.outside && !from.inside && to.outside && from.dense == to.dense && from.last_segment == to.first_segment;
    Asking::each_output(stage, [&](int map) { good = good && !graph->uses[static_cast<size_t>(map)].inside; });
    int readers = 0;
    for (int reader : from.readers) readers += reader >= graph->segments[static_cast<size_t>(from.last_segment)].first;
    if (!good || readers != 1) continue;
    to.replaces = stage.spec.second;
  }
  // A chain of such sums is one memory with one layout: its first map lives as long as any of them, padded as the widest.
  const auto first_of = [&](MapUse* use) {
    while (use->replaces >= 0) use = &graph->uses[static_cast<size_t>(use->replaces)];
    return use;
  };
  for (MapUse& use : graph->uses) {
    MapUse* first = first_of(&use);
    first->last_segment = std::max(first->last_segment, use.last_segment);
    first->pad_left = std::max(first->pad_left, use.pad_left);
    first->pad_right = std::max(first->pad_right, use.pad_right);
  }
  for (MapUse& use : graph->uses) {
    use.pad_left = first_of(&use)->pad_left;
    use.pad_right = first_of(&use)->pad_right;
  }
}

}  // namespace

Status find_uses(Graph* graph, const std::vector<int>& starts, bool keep) {
  const int count = static_cast<int>(graph->stages.size());
  for (size_t i = 0; i < starts.size(); ++i) {
    const int end = i + 1 < starts.size() ? starts[i + 1] : count;
    const Kind kind = graph->stages[static_cast<size_t>(starts[i])].spec.kind;
    graph->segments.push_back({starts[i], end, kind == Kind::kMean || kind == Kind::kSwin});
  }
  graph->uses.assign(graph->maps.size(), {});
  for (size_t g = 0; g < graph->segments.size(); ++g) {
    for (int s = graph->segments[g].first; s < graph->segments[g].end; ++s) {
      const Stage& stage = graph->stages[static_cast<size_t>(s)];
      for (const Operand& operand : stage.operands) {
        MapUse& use = graph->uses[static_cast<size_t>(operand.map)];
        use.readers.push_back(s);
        use.last_segment = static_cast<int>(g);
        const bool together = use.first_segment == static_cast<int>(g);
        (together ? use.inside : use.outside) = true;
        if (stage.spec.kind == Kind::kConv && operand.kind == Operand::Kind::kReach) {
          use.pad_left = std::max(use.pad_left, operand.reach_x);
          use.pad_right = std::max(use.pad_right, operand.reach_x + kBehind);
        }
        if (stage.spec.kind == Kind::kSwin) use.dense = true;
      }
      if (stage.spec.kind == Kind::kSwin) continue;
      Asking::each_output(stage, [&](int map) {
        MapUse& use = graph->uses[static_cast<size_t>(map)];
        use.maker = s;
        use.first_segment = use.last_segment = static_cast<int>(g);
      });
    }
  }
  if (!keep) find_replaced(graph);
  for (MapUse& use : graph->uses) {
    if (keep && use.readers.empty()) use.outside = true;
    if (keep) use.last_segment = static_cast<int>(graph->segments.size());
    if (!use.inside && !use.outside) return failure(Code::kFormat, "a map that nobody makes, or nobody reads");
    if (use.dense && use.pad_left > 0) return failure(Code::kFormat, "a convolution reads a map that Swin layers work on");
  }
  return {};
}

Status make_schedule(const Graph& graph, int height, int width, int threads, std::shared_ptr<const Schedule>* out) noexcept {
  try {
    auto made = std::make_shared<Schedule>();
    made->height = height;
    made->width = width;
    made->threads = std::max(threads, 1);
    if (Status status = Scheduler(graph, made.get()).run(); !status.ok()) return status;
    *out = std::move(made);
    return {};
  } catch (const std::bad_alloc&) {
    return failure(Code::kMemory, "out of memory");
  }
}

}  // namespace qsr
