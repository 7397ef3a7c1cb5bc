// What emulated kernels ask of the scheduler: barriers, exchanges within a warp, an end with a message.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>

namespace emulated {

constexpr int WARP = 32;
constexpr size_t MOST_BYTES = 64;  // a lane hands over in one exchange

// What the lanes of one exchange handed over; lanes outside its mask hold bytes of 0xff.
struct Snapshot {
  unsigned char bytes[WARP][MOST_BYTES];
  unsigned mask;

  template <class T> T of(int lane) const {
    T value;
    std::memcpy(&value, bytes[lane], sizeof value);
    return value;
  }
};

// Ends the launch with a message; never returns to the kernel.
[[noreturn]] void fail(const char* format, ...);

// All threads that have not ended meet here; returns how many gave a predicate.
int barrier(const char* file, int line, bool predicate);

// The lanes of `mask` meet here; `what` must be the same for all.
std::shared_ptr<const Snapshot> exchange(unsigned mask, const char* what, const void* given, size_t bytes);

int lane();
char* dynamic_shared();

// One parameter of a kernel as Python gives it.
struct Argument {
  int kind;   // 'p' a tensor, 'n' a null pointer, 'i' an int64, 'f' a float32
  int dtype;  // of the tensor: 'f' float32, 'h' float16, 'b' bfloat16, 'l' int64, 'i' int32, 's' int16, 'c' bytes
  union {
    void* pointer;
    long long whole;
    float real;
  };
};

struct Launch {
  unsigned grid[3], block[3];
  size_t shared;
  unsigned seed;
};

// What the kernels of one library declare as shared.
struct Memory {
  char *begin, *end;
};

// Runs `entry(arguments)` once per thread; false with a message where something was wrong.
bool run(void (*entry)(const Argument*), const Argument* arguments, const Launch& launch, Memory of_kernels,
         char* message, size_t room);

}  // namespace emulated
