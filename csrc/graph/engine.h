// A network that runs: immutable once made, so that any number of threads may run it at once.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "graph/schedule.h"

namespace qsr {

// What one stage took, over all threads: seconds in the convolution's kernel, and all in all.
struct StageTime {
  int64_t steps = 0;
  double sums = 0, total = 0;
};

struct Job {
  const void* picture = nullptr;  // (height, width, 3), uint8_t or float
  bool bytes_in = true;
  int height = 0, width = 0;
  void* out = nullptr;            // (scale height, scale width, 3), uint8_t or float in [0, 1]
  bool bytes_out = true;
  StageTime* times = nullptr;     // one per stage, added to; nullptr: nobody asks
  // Called for every map that exists as a whole, after the run: pixel (0, 0), bytes between rows.
  void (*visit)(void* context, int map, const uint8_t* first, size_t row_bytes) = nullptr;
  void* context = nullptr;
};

class Engine {
 public:
  // threads >= 1. keep: every map that exists as a whole lives until the end of a run, for `visit`.
  static Status make(NetworkSpec&& network, Isa limit, int threads, bool keep, std::unique_ptr<Engine>* out) noexcept;

  // kMemory where there is none. The result is the same for every number of threads.
  Status run(const Job& job) const noexcept;

  // Bytes that a run takes besides the pictures.
  Status memory(int height, int width, size_t* bytes) const noexcept;

  const Graph& graph() const noexcept { return graph_; }
  int threads() const noexcept { return threads_; }
  Isa limit() const noexcept { return limit_; }

 private:
  Engine() = default;
  Status schedule(int height, int width, std::shared_ptr<const Schedule>* out) const noexcept;

  Graph graph_;
  Isa limit_ = Isa::kPortable;
  int threads_ = 1;
  EpilogueFunction epilogue_ = nullptr;
  // Of the last runs: schedules of a few sizes, and the memory of one run, which would else be cleared by the system anew
  // each time.
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const Schedule>> schedules_;
  mutable Buffer spare_;
  mutable size_t spare_bytes_ = 0;
};

}  // namespace qsr
