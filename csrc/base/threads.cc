#include "base/threads.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "base/isa.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#if QSR_X86
#include <immintrin.h>
#endif

namespace qsr {
namespace {

constexpr int kMaxThreads = 256;
constexpr auto kSpin = std::chrono::microseconds(200);

inline void relax() noexcept {
#if QSR_X86
  _mm_pause();
#endif
}

long process() noexcept {
#if defined(__unix__) || defined(__APPLE__)
  return static_cast<long>(getpid());
#else
  return 0;
#endif
}

// Spins until `ready()`, for kSpin at most; whether it became ready.
template <typename Ready>
bool spin(const Ready& ready) noexcept {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

class Pool {
 public:
  // Starts workers until there are `count`, as many as the system lets it; how many there are.
  int grow(int count) noexcept {
    try {
      while (static_cast<int>(workers_.size()) < count) {
        const int number = static_cast<int>(workers_.size()) + 1;
        workers_.emplace_back([this, number, seen = generation_.load()] { work(number, seen); });
      }
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    return static_cast<int>(workers_.size());
  }

  void run(int threads, int64_t count, Lease::Task task, void* context) noexcept {
    task_ = task;
    context_ = context;
    count_ = count;
    active_ = threads;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take(0);
    const auto done = [this] { return busy_.load(std::memory_order_acquire) == 0; };
    if (spin(done)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, done);
  }

  // Not a mutex: a task that leases once more, on a thread that holds the lease, must simply be told no.
  bool lease() noexcept { return !leased_.exchange(true, std::memory_order_acquire); }
  void give_back() noexcept { leased_.store(false, std::memory_order_release); }

 private:
  void take(int thread) noexcept {
    for (;;) {
      const int64_t number = next_.fetch_add(1, std::memory_order_relaxed);
      if (number >= count_) return;
      task_(context_, number, thread);
    }
  }

  [[noreturn]] void work(int thread, uint64_t seen) noexcept {
    for (;;) {
      const auto called = [&] { return generation_.load(std::memory_order_acquire) != seen; };
      if (!spin(called)) {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, called);
      }
      ++seen;  // a generation ends only when every worker has answered it, so none is missed
      if (thread < active_) take(thread);
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard<std::mutex> lock(mutex_);
        done_.notify_one();
      }
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  Lease::Task task_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  int active_ = 1;
  std::atomic<bool> leased_{false};
};

// The pool of this process. It is never destroyed: its threads wait until the process ends, and after a fork the parent's
// pool is left as it is, since threads that do not exist in the child can be neither joined nor woken.
struct Owner {
  std::atomic<Pool*> pool{nullptr};
  std::atomic<long> process{0};
  std::atomic_flag making = ATOMIC_FLAG_INIT;
};
Owner owner;

Pool* process_pool() noexcept {
  if (owner.process.load(std::memory_order_acquire) == process()) return owner.pool.load(std::memory_order_relaxed);
  if (owner.making.test_and_set(std::memory_order_acquire)) return nullptr;  // being made: work alone
  if (owner.process.load(std::memory_order_acquire) != process()) {
    Pool* made = new (std::nothrow) Pool;
    owner.pool.store(made, std::memory_order_relaxed);
    if (made) owner.process.store(process(), std::memory_order_release);
  }
  owner.making.clear(std::memory_order_release);
  return owner.process.load(std::memory_order_acquire) == process() ? owner.pool.load(std::memory_order_relaxed) : nullptr;
}

}  // namespace

int available_cores() noexcept {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    const int count = CPU_COUNT(&set);
    if (count > 0) return count;
  }
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count > 0 ? static_cast<int>(count) : 1;
}

Lease::Lease(int threads) noexcept {
  if (threads > kMaxThreads) threads = kMaxThreads;
  if (threads < 2) return;
  Pool* pool = process_pool();
  if (!pool || !pool->lease()) return;
  const int workers = pool->grow(threads - 1);
  if (workers == 0) {
    pool->give_back();
    return;
  }
  pool_ = pool;
  threads_ = workers + 1 < threads ? workers + 1 : threads;
}

Lease::~Lease() {
  if (pool_) static_cast<Pool*>(pool_)->give_back();
}

void Lease::run(int64_t count, Task task, void* context) noexcept {
  if (pool_ && count > 1) {
    static_cast<Pool*>(pool_)->run(threads_, count, task, context);
    return;
  }
  for (int64_t number = 0; number < count; ++number) task(context, number, 0);
}

}  // namespace qsr
