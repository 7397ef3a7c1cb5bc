// A few numbers of any kinds in one row of doubles; one block.
namespace {

constexpr int THREADS = 128;

struct Part {
  const void* from;
  long long count, kind;

  __device__ double at(long long i) const {
    switch (kind) {
      case 0: return ((const float*)from)[i];
      case 1: return ((const double*)from)[i];
      case 2: return (double)((const long long*)from)[i];
      default: return ((const int*)from)[i];
    }
  }
};

}  // namespace

#define PART(n) const void *from##n, long long count##n, long long kind##n
#define THE_PART(n) { from##n, count##n, kind##n }

extern "C" __global__ void __launch_bounds__(THREADS)
    doubles(double* to, PART(0), PART(1), PART(2), PART(3), PART(4), PART(5), PART(6), PART(7)) {
  const Part parts[] = {THE_PART(0), THE_PART(1), THE_PART(2), THE_PART(3),
                        THE_PART(4), THE_PART(5), THE_PART(6), THE_PART(7)};
#pragma unroll
  for (const Part& part : parts) {
    for (long long i = threadIdx.x; i < part.count; i += THREADS) to[i] = part.at(i);
    to += part.count;
  }
}
