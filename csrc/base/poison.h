// Red zones inside one allocation. Built with AddressSanitizer (`make sanitize`), touching poisoned bytes is reported like
// touching freed ones; elsewhere the functions do nothing and kRedZone is 0.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define QSR_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define QSR_POISON 1
#endif
#endif
#ifdef QSR_POISON
#include <sanitizer/asan_interface.h>
#endif

namespace qsr {

#ifdef QSR_POISON
constexpr size_t kRedZone = 64;  // bytes between neighbours
inline void poison(const void* data, size_t bytes) noexcept { __asan_poison_memory_region(data, bytes); }
inline void unpoison(const void* data, size_t bytes) noexcept { __asan_unpoison_memory_region(data, bytes); }
#else
constexpr size_t kRedZone = 0;
inline void poison(const void*, size_t) noexcept {}
inline void unpoison(const void*, size_t) noexcept {}
#endif

}  // namespace qsr
