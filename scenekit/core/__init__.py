"""The vocabulary of scenekit: cameras, rays, bounds, points, and the protocols that join the stages."""
