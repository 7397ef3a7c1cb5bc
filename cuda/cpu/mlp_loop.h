// The multilayer perceptron as other loops use it.
#pragma once

#include <cstdint>
#include <vector>

#include "../mlp.h"

namespace scenekit {

// The layers' sizes, and the weights laid out for the two directions with rows of whole vectors.
struct Network {
  int64_t layers;
  const int64_t* widths;                              // layers + 1
  std::vector<std::vector<float>> forward, backward;  // [in, padded out], [out, padded in]
  std::vector<int64_t> first;                         // of each layer's weights, and their number

  Network(const float* weights, const int64_t* widths, int64_t layers);
  int64_t widest() const;
};

// Memory of one piece: the hidden activations of a block, by layer, and two buffers for gradients.
struct Workspace {
  static constexpr int64_t rows = 96;      // samples whose activations are held at once
  std::vector<std::vector<float>> hidden;  // hidden[l]: the input of layer l; l = 0 only where widths are odd
  std::vector<float> first, second;

  explicit Workspace(const Network& net);
};

// Outputs [count, out] of inputs [count, in].
void forward_rows(const Network& net, const float* inputs, int64_t count, float* outputs, Workspace& work);

}  // namespace scenekit
