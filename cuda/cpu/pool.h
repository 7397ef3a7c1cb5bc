// A small pool of threads that split a range. Plain C++: no OpenMP, no torch, no Python.
#pragma once

#include <cstdint>
#include <functional>

#define SCENEKIT_ABI 8
#define SCENEKIT_EXPORT extern "C" __attribute__((visibility("default")))

namespace scenekit {

int threads();

// Calls body(begin, end, thread) over pieces of [0, count) of at most `grain`, from all threads; returns when
// every piece is done. Which thread gets which piece is not fixed, so pieces must not share outputs.
void parallel(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t, int)>& body);

}  // namespace scenekit
