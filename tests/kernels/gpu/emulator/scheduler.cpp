// Runs the threads of a block as fibers in an order that is shuffled again and again, so that what is not ordered by
// a barrier goes wrong here too; blocks come in a shuffled order as well. Shared memory begins as NaN in each block.
// One library, which those of all kernels use: a process may have so many mappings, and every stack takes two.
#include "scheduler.h"

#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "device.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulated {
namespace {

constexpr size_t STACK = 256 * 1024, PAGE = 4096;
enum class State { READY, BARRIER, WARP, DONE };

struct Fiber {
  ucontext_t context;
  State state;
  unsigned mask;       // where it waits for lanes
  const char* what;
  const char* file;    // where it waits for the block
  int line;
  bool predicate;
  int count;
  std::shared_ptr<const Snapshot> found;
  unsigned char given[MOST_BYTES];
};

std::vector<char*> stacks;
std::vector<Fiber> fibers;
std::vector<char> dynamic;
ucontext_t scheduler;
int current, alive;
void (*kernel)(const Argument*);
const Argument* kernel_arguments;
Memory shared;
std::string failure;
sigjmp_buf escape;
std::mt19937 dice;

char* stack_of(size_t i) {
  while (stacks.size() <= i) {
    char* memory = (char*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, PAGE, PROT_NONE)) {
      failure = "no memory for the stack of another thread";
      siglongjmp(escape, 1);
    }
    stacks.push_back(memory);
  }
  return stacks[i];
}

void enter() {
  kernel(kernel_arguments);
  fibers[current].state = State::DONE;
  fibers[current].found.reset();
  --alive;
}

void place_index(int i) {
  unsigned x = blockDim.x, y = blockDim.y;
  threadIdx = {i % x, i / x % y, i / (x * y)};
}

void resume(int i) {
  current = i;
  place_index(i);
  swapcontext(&scheduler, &fibers[i].context);
}

void wait() { swapcontext(&fibers[current].context, &scheduler); }

std::string where() {
  char text[160];
  snprintf(text, sizeof text, " (block %u,%u,%u thread %u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x,
           threadIdx.y, threadIdx.z);
  return text;
}

void begin_block(int threads) {
  std::fill(shared.begin, shared.end, (char)0xff);
  std::fill(dynamic.begin(), dynamic.end(), (char)0xff);
  alive = threads;
  for (int i = 0; i < threads; ++i) {
    Fiber& f = fibers[i];
    f.state = State::READY;
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = stack_of(i) + PAGE;
    f.context.uc_stack.ss_size = STACK - PAGE;
    f.context.uc_link = &scheduler;
    makecontext(&f.context, enter, 0);
  }
}

// All threads wait: either at one barrier, or for ever.
void open_barrier(int threads) {
  const Fiber* first = nullptr;
  int count = 0;
  for (int i = 0; i < threads; ++i) {
    const Fiber& f = fibers[i];
    if (f.state == State::DONE) continue;
    place_index(i);
    if (f.state == State::WARP) {
      failure = std::string("deadlock: ") + f.what + " waits for lanes that never come" + where();
      return;
    }
    if (first && (first->line != f.line || std::strcmp(first->file, f.file))) {
      failure = "threads of one block wait at different barriers, lines " + std::to_string(first->line) + " and " +
                std::to_string(f.line) + where();
      return;
    }
    first = &f;
    count += f.predicate;
  }
  for (int i = 0; i < threads; ++i) {
    if (fibers[i].state == State::BARRIER) fibers[i].state = State::READY, fibers[i].count = count;
  }
}

void run_block(int threads) {
  begin_block(threads);
  std::vector<int> order(threads);
  for (int i = 0; i < threads; ++i) order[i] = i;
  while (alive && failure.empty()) {
    std::shuffle(order.begin(), order.end(), dice);
    bool moved = false;
    for (int i : order) {
      if (fibers[i].state != State::READY) continue;
      moved = true;
      resume(i);
      if (!failure.empty()) return;
    }
    if (!moved) open_barrier(threads);
  }
}

void on_fault(int signal, siginfo_t* info, void*) {
  char text[160];
  const char* kind = signal == SIGILL ? "misaligned access, index outside an array, or overflow" : "access outside of all tensors";
  snprintf(text, sizeof text, "%s at %p", kind, info->si_addr);
  failure = text + where();
  siglongjmp(escape, 1);
}

// Faults become messages for as long as this lives.
class Guard {
 public:
  Guard() {
    stack_t own{};
    own.ss_sp = memory_;
    own.ss_size = sizeof memory_;
    sigaltstack(&own, &old_stack_);
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int i = 0; i < 3; ++i) sigaction(SIGNALS[i], &action, &old_[i]);
  }
  ~Guard() {
    for (int i = 0; i < 3; ++i) sigaction(SIGNALS[i], &old_[i], nullptr);
    sigaltstack(&old_stack_, nullptr);
  }

 private:
  static constexpr int SIGNALS[3] = {SIGSEGV, SIGBUS, SIGILL};
  struct sigaction old_[3];
  stack_t old_stack_;
  char memory_[64 * 1024];
};

void run_blocks(const Launch& launch) {
  long long blocks = (long long)launch.grid[0] * launch.grid[1] * launch.grid[2];
  std::vector<long long> order(blocks);
  for (long long i = 0; i < blocks; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), dice);
  for (long long i : order) {
    unsigned x = gridDim.x, y = gridDim.y;
    blockIdx = {(unsigned)(i % x), (unsigned)(i / x % y), (unsigned)(i / ((long long)x * y))};
    run_block((int)(blockDim.x * blockDim.y * blockDim.z));
    if (!failure.empty()) return;
  }
}

}  // namespace

void fail(const char* format, ...) {
  char text[256];
  va_list rest;
  va_start(rest, format);
  vsnprintf(text, sizeof text, format, rest);
  va_end(rest);
  failure = text + where();
  wait();
  __builtin_unreachable();
}

int barrier(const char* file, int line, bool predicate) {
  Fiber& f = fibers[current];
  f.state = State::BARRIER;
  f.file = file;
  f.line = line;
  f.predicate = predicate;
  wait();
  return f.count;
}

std::shared_ptr<const Snapshot> exchange(unsigned mask, const char* what, const void* given, size_t bytes) {
  const int first = current / WARP * WARP, me = current % WARP;
  const int threads = (int)(blockDim.x * blockDim.y * blockDim.z);
  if (!(mask >> me & 1)) fail("%s: lane %d is not in its own mask %08x", what, me, mask);
  Fiber& own = fibers[current];
  std::memcpy(own.given, given, bytes);
  own.state = State::WARP;
  own.mask = mask;
  own.what = what;
  for (int l = 0; l < WARP; ++l) {
    if (!(mask >> l & 1)) continue;
    if (first + l >= threads || fibers[first + l].state == State::DONE) fail("%s: lane %d has ended or never was", what, l);
    const Fiber& f = fibers[first + l];
    if (f.state != State::WARP || f.mask != mask || std::strcmp(f.what, what)) {
      wait();
      return std::move(fibers[first + me].found);
    }
  }
  auto all = std::make_shared<Snapshot>();
  std::memset(all->bytes, 0xff, sizeof all->bytes);
  all->mask = mask;
  for (int l = 0; l < WARP; ++l) {
    if (!(mask >> l & 1)) continue;
    std::memcpy(all->bytes[l], fibers[first + l].given, MOST_BYTES);
    fibers[first + l].found = all;
    fibers[first + l].state = State::READY;
  }
  return std::move(own.found);
}

int lane() { return current % WARP; }
char* dynamic_shared() { return (char*)(((size_t)dynamic.data() + 127) / 128 * 128); }

bool run(void (*entry)(const Argument*), const Argument* arguments, const Launch& launch, Memory of_kernels,
         char* message, size_t room) {
  Guard guard;
  kernel = entry;
  kernel_arguments = arguments;
  shared = of_kernels;
  failure.clear();
  dice.seed(launch.seed);
  gridDim = {launch.grid[0], launch.grid[1], launch.grid[2]};
  blockDim = {launch.block[0], launch.block[1], launch.block[2]};
  fibers.resize(std::max<size_t>(fibers.size(), (size_t)blockDim.x * blockDim.y * blockDim.z));
  dynamic.resize(launch.shared + 256);
  if (!sigsetjmp(escape, 1)) run_blocks(launch);
  snprintf(message, room, "%s", failure.c_str());
  return failure.empty();
}

}  // namespace emulated

// Pages that a tensor's copy lies in; on either side is what nobody may touch.
constexpr size_t GUARD = 16 * emulated::PAGE;
static size_t pages_for(size_t bytes) { return (bytes + 16 + emulated::PAGE - 1) / emulated::PAGE * emulated::PAGE; }

// Copies a tensor to the end of its pages, as well or badly aligned to 16 bytes as it is.
extern "C" void* emulated_place(const void* data, size_t bytes) {
  size_t pages = pages_for(bytes), whole = pages + 2 * GUARD;
  char* memory = (char*)mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  std::memset(memory, 0xff, whole);
  char* place = memory + GUARD + pages - bytes;
  place -= ((size_t)place - (size_t)data) % 16;
  std::memcpy(place, data, bytes);
  const bool guarded = !mprotect(memory, GUARD, PROT_NONE) && !mprotect(memory + GUARD + pages, GUARD, PROT_NONE);
  return guarded ? place : nullptr;
}

// Copies back and frees; whether what lies about the copy is as it was.
extern "C" bool emulated_take(void* place, void* data, size_t bytes) {
  unsigned char* begin = (unsigned char*)place;
  unsigned char* end = (unsigned char*)(((size_t)begin + bytes + emulated::PAGE - 1) / emulated::PAGE * emulated::PAGE);
  size_t pages = pages_for(bytes);
  auto untouched = [](unsigned char c) { return c == 0xff; };
  bool whole = std::all_of(end - pages, begin, untouched) && std::all_of(begin + bytes, end, untouched);
  std::memcpy(data, place, bytes);
  munmap(end - pages - GUARD, pages + 2 * GUARD);
  return whole;
}
