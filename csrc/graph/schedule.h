// Where and when rows are made, for one size of picture.
//
// The picture is cut into bands of rows and tiles of columns; a task is one of each, and runs all stages of a segment. A stage
// is run for the rows and columns that later stages of the task ask for, so that tasks depend on nothing of each other: rows at
// the border of two bands are made twice. Rows are made when they are first asked for and overwritten when no stage will read
// them again; how many a line buffer has to hold follows from going through all steps beforehand, here.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "graph/stage.h"

namespace qsr {

constexpr size_t kBehindMap = 128;  // bytes behind a whole map that may be read

// What is known of a map whatever the picture's size.
struct MapUse {
  int maker = -1;                 // stage; the first, of a map that Swin layers change in place
  std::vector<int> readers;       // stages
  int first_segment = 0, last_segment = 0;  // that touch it
  bool inside = false;            // some reader is in the maker's segment: it has a line buffer
  bool outside = false;           // some reader is in another one: it exists as a whole
  bool dense = false;             // no padding between rows (Swin)
  int pad_left = 0, pad_right = 0;  // pixels of padding that convolutions read
  int replaces = -1;              // the map whose memory it takes over, place by place: a stream plus a branch
};

struct Segment {
  int first = 0, end = 0;         // stages
  bool whole = false;             // one stage over a whole map (kMean, kSwin)
};

// Maps and stages of an engine; owned by it.
struct Graph {
  std::vector<MapSpec> maps;
  std::vector<MapUse> uses;
  std::vector<Stage> stages;
  std::vector<Segment> segments;
  int slots = 0, scale = 1;
  size_t l2_bytes = 0;
};

// Uses and segments of checked maps and stages. keep: whole maps live to the end, those that nobody reads are whole too.
// kFormat where nobody reads a map (unless `keep`), and where a convolution reads one that Swin layers work on.
Status find_uses(Graph* graph, const std::vector<int>& starts, bool keep);

struct Step {
  int32_t stage, row;  // row: the first of the group, on the stage's grid
};

struct Band {
  Range rows;                    // of the picture
  std::vector<Range> grid;       // per stage of the segment: rows that it goes through,
  std::vector<Range> asked;      // and those of them that are asked for: no others are written
  std::vector<Step> steps;
};

struct Tile {
  Range columns;                 // of the picture
  std::vector<Range> grid, asked;
};

// A map's rows in memory: a line buffer (rows modulo `capacity`) or the whole map.
struct Rows {
  size_t offset = 0, row_bytes = 0;  // offset in the thread's scratch or in the arena
  int capacity = 0;
};

struct SegmentPlan {
  std::vector<Band> bands;
  std::vector<Tile> tiles;
  std::vector<Rows> rings;       // by map; capacity 0: none
  size_t work_bytes = 0;         // before the line buffers: kernels' scratch
  size_t scratch_bytes = 0;      // per thread, all
};

struct Schedule {
  int height = 0, width = 0, threads = 1;
  std::vector<SegmentPlan> segments;
  std::vector<Rows> whole;       // by map; capacity 0: none
  size_t arena_bytes = 0, scratch_bytes = 0;  // scratch: per thread
  size_t line_bytes = 0;         // one number per row, for sums over a whole map
  // Of bilinear enlargement, by stage; empty elsewhere.
  std::vector<std::vector<BilinearTap>> row_taps, column_taps;
  // What one run takes.
  size_t total_bytes() const noexcept { return arena_bytes + line_bytes + scratch_bytes * static_cast<size_t>(threads); }
};

// kMemory where the memory would not be addressable, or there is none for the plan itself.
Status make_schedule(const Graph& graph, int height, int width, int threads, std::shared_ptr<const Schedule>* out) noexcept;

}  // namespace qsr
