#include "pool.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace scenekit {
namespace {

struct Job {
  const std::function<void(int64_t, int64_t, int)>* body;
  int64_t count, grain;
  std::atomic<int64_t> next{0};

  void work(int thread) {
    for (;;) {
      int64_t begin = next.fetch_add(grain);
      if (begin >= count) return;
      (*body)(begin, begin + grain < count ? begin + grain : count, thread);
    }
  }
};

class Pool {
 public:
  explicit Pool(int helpers) {
    for (int i = 0; i < helpers; ++i) workers_.emplace_back([this, i] { serve(i + 1); });
  }
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }
  void run(Job& job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      busy_ = (int)workers_.size();
      ++generation_;
    }
    wake_.notify_all();
    job.work(0);
    std::unique_lock<std::mutex> lock(mutex_);
    idle_.wait(lock, [this] { return busy_ == 0; });
    job_ = nullptr;
  }

 private:
  void serve(int thread) {
    int64_t seen = 0;
    for (;;) {
      Job* job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
        if (stop_) return;
        seen = generation_;
        job = job_;
      }
      job->work(thread);
      std::lock_guard<std::mutex> lock(mutex_);
      if (--busy_ == 0) idle_.notify_one();
    }
  }
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  Job* job_ = nullptr;
  int64_t generation_ = 0;
  int busy_ = 0;
  bool stop_ = false;
};

std::mutex owner;  // one range at a time: calls from several Python threads take turns
std::unique_ptr<Pool> pool;
int wanted = 1;

// A forked child has none of its parent's threads: drop the pool without joining, and start anew.
void after_fork() {
  (void)pool.release();
  new (&owner) std::mutex();
}

}  // namespace

int threads() { return wanted; }

void parallel(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t, int)>& body) {
  if (count <= 0) return;
  if (grain < 1) grain = 1;
  if (wanted == 1 || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain)
      body(begin, begin + grain < count ? begin + grain : count, 0);
    return;
  }
  std::lock_guard<std::mutex> lock(owner);
  if (!pool) {
    static bool registered = false;
#if !defined(_WIN32)
    if (!registered) pthread_atfork(nullptr, nullptr, after_fork);
#endif
    registered = true;
    pool = std::make_unique<Pool>(wanted - 1);
  }
  Job job;
  job.body = &body;
  job.count = count;
  job.grain = grain;
  pool->run(job);
}

}  // namespace scenekit

SCENEKIT_EXPORT int scenekit_abi() { return SCENEKIT_ABI; }

SCENEKIT_EXPORT void scenekit_set_threads(int count) {
  std::lock_guard<std::mutex> lock(scenekit::owner);
  scenekit::wanted = count < 1 ? 1 : count;
  scenekit::pool.reset();
}
