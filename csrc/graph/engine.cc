#include "graph/engine.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "base/poison.h"
#include "base/threads.h"
#include "graph/task.h"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace qsr {
namespace {

constexpr size_t kSchedules = 4;           // sizes remembered
constexpr size_t kMostSpare = 512u << 20;  // bytes that an idle engine keeps at most
constexpr int kWindowsAtOnce = 8;

size_t l2_bytes() noexcept {
  long found = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  found = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return found > 0 ? static_cast<size_t>(found) : size_t{512} << 10;
}

double now() noexcept { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Under AddressSanitizer: in segment `g` no memory may be touched but the maps that live then, lines and threads' scratch.
void fence(const Graph& graph, const Schedule& plan, int g, uint8_t* arena) noexcept {
  if (kRedZone == 0) return;
  poison(arena, plan.total_bytes());
  for (size_t m = 0; m < graph.maps.size(); ++m) {
    const Rows& map = plan.whole[m];
    if (map.capacity == 0 || graph.uses[m].first_segment > g || graph.uses[m].last_segment < g) continue;
    unpoison(arena + map.offset, map.row_bytes * static_cast<size_t>(map.capacity) + kBehindMap);
  }
  if (plan.line_bytes > 0) unpoison(arena + plan.arena_bytes, plan.line_bytes - kRedZone);
  const size_t work = plan.segments[static_cast<size_t>(g)].work_bytes;
  for (size_t t = 0; t < static_cast<size_t>(plan.threads) && work > 0; ++t) {
    unpoison(arena + plan.arena_bytes + plan.line_bytes + plan.scratch_bytes * t, work - kRedZone);
  }
}

// Mean |x| of a whole map: one sum per row, added in order, whoever made them.
float mean_of(const Run& run, const Stage& stage, double* lines, Lease* lease) noexcept {
  const View map = run.whole(stage.spec.input);
  const int height = stage.grid_factor * run.schedule.height;
  const size_t count = static_cast<size_t>(stage.grid_factor * run.schedule.width) * static_cast<size_t>(stage.channels);
  lease->each(height, [&](int64_t y, int) { lines[y] = absolute_sum(reinterpret_cast<const float*>(map.at(static_cast<int>(y), 0)), count); });
  double total = 0;
  for (int y = 0; y < height; ++y) total += lines[y];
  return static_cast<float>(total / (static_cast<double>(count) * height));
}

}  // namespace

Status Engine::make(NetworkSpec&& network, Isa limit, int threads, bool keep, std::unique_ptr<Engine>* out) noexcept {
  if (Status status = check_network(network); !status.ok()) return status;
  try {
    std::unique_ptr<Engine> made(new Engine);
    made->limit_ = limit;
    made->threads_ = std::max(threads, 1);
    made->epilogue_ = epilogue_for(limit);
    Graph& graph = made->graph_;
    graph.maps = std::move(network.maps);
    graph.slots = network.slots;
    graph.scale = network.scale;
    graph.l2_bytes = l2_bytes();
    graph.stages.resize(network.stages.size());
    for (size_t s = 0; s < graph.stages.size(); ++s) {
      if (Status status = make_stage(std::move(network.stages[s]), graph.maps, limit, &graph.stages[s]); !status.ok()) return status;
    }
    if (Status status = find_uses(&graph, network.segments, keep); !status.ok()) return status;
    *out = std::move(made);
    return {};
  } catch (const std::bad_alloc&) {
    return failure(Code::kMemory, "out of memory");
  }
}

Status Engine::schedule(int height, int width, std::shared_ptr<const Schedule>* out) const noexcept {
  if (height < 1 || width < 1) return failure(Code::kArgument, "found a picture of %dx%d, expected at least one pixel", width, height);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& known : schedules_) {
      if (known->height == height && known->width == width) {
        *out = known;
        return {};
      }
    }
  }
  if (Status status = make_schedule(graph_, height, width, threads_, out); !status.ok()) return status;
  std::lock_guard<std::mutex> lock(mutex_);
  try {
    if (schedules_.size() >= kSchedules) schedules_.erase(schedules_.begin());
    schedules_.push_back(*out);
  } catch (const std::bad_alloc&) {  // not remembered, then
  }
  return {};
}

Status Engine::memory(int height, int width, size_t* bytes) const noexcept {
  std::shared_ptr<const Schedule> found;
  if (Status status = schedule(height, width, &found); !status.ok()) return status;
  *bytes = found->total_bytes() + sizeof(View) * graph_.maps.size() * static_cast<size_t>(threads_);
  return {};
}

Status Engine::run(const Job& job) const noexcept {
  std::shared_ptr<const Schedule> found;
  if (Status status = schedule(job.height, job.width, &found); !status.ok()) return status;
  const Schedule& plan = *found;
  Buffer memory;
  size_t bytes = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::swap(memory, spare_);
    std::swap(bytes, spare_bytes_);
  }
  if (bytes < plan.total_bytes()) {
    memory = Buffer();
    bytes = plan.total_bytes();
    memory = Buffer::large(bytes);
  }
  if (!memory.ok()) return failure(Code::kMemory, "out of memory: a picture of %dx%d takes %zu MiB", job.width, job.height, bytes >> 20);

  Lease lease(threads_);
  std::vector<View> views;
  std::vector<StageTime> times;
  std::vector<float> slots;
  try {
    views.resize(graph_.maps.size() * static_cast<size_t>(lease.threads()));
    if (job.times) times.resize(graph_.stages.size() * static_cast<size_t>(lease.threads()));
    slots.resize(static_cast<size_t>(graph_.slots) + 1);
  } catch (const std::bad_alloc&) {
    return failure(Code::kMemory, "out of memory");
  }
  uint8_t* arena = memory.bytes();
  double* lines = reinterpret_cast<double*>(arena + plan.arena_bytes);
  uint8_t* scratch = arena + plan.arena_bytes + plan.line_bytes;
  const Run run{graph_, plan, job, picture_kernels(limit_), epilogue_, arena, slots.data()};
  for (size_t g = 0; g < graph_.segments.size(); ++g) {
    const Segment& segment = graph_.segments[g];
    const SegmentPlan& part = plan.segments[g];
    const Stage& stage = graph_.stages[static_cast<size_t>(segment.first)];
    const double start = job.times ? now() : 0;
    fence(graph_, plan, static_cast<int>(g), arena);
    if (stage.spec.kind == Kind::kMean) {
      slots[static_cast<size_t>(stage.spec.slot)] = mean_of(run, stage, lines, &lease);
    } else if (stage.spec.kind == Kind::kSwin) {
      const int height = stage.grid_factor * plan.height, width = stage.grid_factor * plan.width;
      const int windows = stage.spec.swin->windows(height, width);
      float* map = reinterpret_cast<float*>(run.whole(stage.spec.input).at(0, 0));
      lease.each((windows + kWindowsAtOnce - 1) / kWindowsAtOnce, [&](int64_t number, int thread) {
        const int first = static_cast<int>(number) * kWindowsAtOnce;
        stage.spec.swin->run(map, height, width, first, std::min(first + kWindowsAtOnce, windows), scratch + plan.scratch_bytes * static_cast<size_t>(thread));
      });
    } else {
      lease.each(static_cast<int64_t>(part.bands.size() * part.tiles.size()), [&](int64_t number, int thread) {
        const size_t t = static_cast<size_t>(thread);
        Task task(run, g, scratch + plan.scratch_bytes * t, views.data() + graph_.maps.size() * t, job.times ? times.data() + graph_.stages.size() * t : nullptr);
        task.run(number);
      });
    }
    if (job.times && segment.whole) {
      StageTime& time = job.times[segment.first];
      ++time.steps;
      time.total += (now() - start) * lease.threads();
    }
  }
  for (size_t i = 0; i < times.size(); ++i) {
    StageTime& time = job.times[i % graph_.stages.size()];
    time.steps += times[i].steps;
    time.sums += times[i].sums;
    time.total += times[i].total;
  }
  unpoison(arena, bytes);
  if (job.visit) {
    for (size_t m = 0; m < graph_.maps.size(); ++m) {
      if (plan.whole[m].capacity == 0) continue;
      const View map = run.whole(static_cast<int>(m));
      job.visit(job.context, static_cast<int>(m), map.at(0, 0), map.row_bytes);
    }
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (bytes > spare_bytes_ && bytes <= kMostSpare) {
    std::swap(memory, spare_);
    std::swap(bytes, spare_bytes_);
  }
  return {};
}

}  // namespace qsr
