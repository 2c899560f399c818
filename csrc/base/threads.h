// A pool of threads that shares out numbered tasks. One pool serves the process; a run leases it, and whoever comes while it
// is leased works alone: two runs at once, or a run inside a task of another, are slower but never wait for each other.
//
// Waiting threads spin for a moment, since the tasks of one network follow each other within microseconds, then they sleep.
// Threads are not pinned: a pinned thread waits whenever another process has its core, and the scheduler keeps a busy thread
// where it is anyway. After fork() the child makes a pool of its own; the parent's threads do not exist there.
#pragma once

#include <cstdint>

namespace qsr {

// Number of cores that this process may use (its affinity mask), at least 1.
int available_cores() noexcept;

// What a run does with `threads` threads, itself included, as long as it lives.
class Lease {
 public:
  // Fewer than asked for where the pool is taken or no thread can be started; threads() says how many.
  explicit Lease(int threads) noexcept;
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  int threads() const noexcept { return threads_; }

  // task(context, number, thread) for every number in 0..count-1, in any order, on any thread 0..threads()-1; returns when
  // all are done. What tasks wrote is then visible to the caller.
  using Task = void (*)(void* context, int64_t number, int thread);
  void run(int64_t count, Task task, void* context) noexcept;

  template <typename Function>
  void each(int64_t count, const Function& function) noexcept {
    run(
        count,
        [](void* context, int64_t number, int thread) { (*static_cast<const Function*>(context))(number, thread); },
        const_cast<void*>(static_cast<const void*>(&function)));
  }

 private:
  int threads_ = 1;
  void* pool_ = nullptr;
};

}  // namespace qsr
