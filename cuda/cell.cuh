// The cells of a grid: simplices where SIMPLICES, else cubes.
#pragma once

#if SIMPLICES
#include "simplex_grid.cuh"
#else
#include "hash_grid.cuh"
#endif

namespace scenekit {

#if SIMPLICES
using Cell = Simplex;
#else
using Cell = Corners;
#endif

}  // namespace scenekit
