// Errors as values: kernels never throw, print or abort.
#pragma once

#include <cstdarg>
#include <cstdio>

namespace qsr {

enum class Code {
  kOk,
  kArgument,  // the caller's mistake: a bug above this floor (ValueError in Python)
  kFormat,    // the data's mistake: a damaged or hostile file (qsr.errors.FormatError in Python)
  kMemory,    // nobody's mistake: the system has no more (MemoryError in Python, upon which tiles get smaller)
};

// A fixed buffer, so that reporting an error cannot itself fail for want of memory.
struct [[nodiscard]] Status {
  Code code = Code::kOk;
  char message[192] = {0};

  bool ok() const noexcept { return code == Code::kOk; }
};

#if defined(__GNUC__)
#define QSR_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define QSR_PRINTF(text, first)
#endif

QSR_PRINTF(2, 3) inline Status failure(Code code, const char* format, ...) noexcept {
  Status status;
  status.code = code;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(status.message, sizeof(status.message), format, arguments);
  va_end(arguments);
  return status;
}

}  // namespace qsr
